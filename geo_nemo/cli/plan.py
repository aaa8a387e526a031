"""`geo-nemo plan`: what a run would take, without running it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

from geo_nemo.cli.options import OVERRIDES, DiskFile, with_experiment
from geo_nemo.common.log import logger
from geo_nemo.model.flops import MEMORY_GIB, peak_flops

LOG = logger(__name__)

if TYPE_CHECKING:
    from geo_nemo.config import Run
    from geo_nemo.train.plan import Assumptions

DEFAULT_CHIP = "H100"
# Llama 3's, which the published sizes of the recipes' models go with.
VOCAB_SIZE = 128_256


@click.command(epilog="Example: geo-nemo plan localization/1b_global_with --gpus 64 --mfu 0.45")
@OVERRIDES
@click.option(
    "--gpus",
    type=click.IntRange(1),
    metavar="N",
    help="Processes, a GPU each; default: as many as hold the model once.",
)
@click.option(
    "--chip",
    type=click.Choice([name.lower() for name in MEMORY_GIB], case_sensitive=False),
    help=f"Whose peak and memory are taken; default: {DEFAULT_CHIP.lower()}.",
)
@click.option(
    "--tflops",
    type=click.FloatRange(0, min_open=True),
    metavar="T",
    help="Dense peak of one chip, instead of its own.",
)
@click.option(
    "--mfu",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.4,
    show_default=True,
    help="Fraction of the peak that is reached: an assumption, measure it.",
)
@click.option("--no-store", is_flag=True, help="Sizes alone: no documents, no epochs.")
@click.option(
    "--vocab-size",
    type=click.IntRange(1),
    metavar="N",
    help=f"Without a store; default: {VOCAB_SIZE:,}, Llama 3's.",
)
@click.option(
    "--json", "json_path", metavar="FILE", type=DiskFile(), help="Write the plan as JSON as well."
)
def command(
    overrides: tuple[str, ...],
    gpus: int | None,
    chip: str | None,
    tflops: float | None,
    mfu: float,
    no_store: bool,
    vocab_size: int | None,
    json_path: str | None,
) -> None:
    """Parameters, memory a rank, checkpoints, tokens and epochs by country, FLOPs and time.

    Takes the settings of geo-nemo train; a word alone is an experiment. Needs no GPU. Where the
    store is not there yet, the plan is of the sizes alone. Exits with 2 where the layout cannot be,
    or needs more memory than the chip has.
    """
    from geo_nemo.cli.plan_tables import print_plan
    from geo_nemo.cli.progress import fetch_bar
    from geo_nemo.common.files import write_whole
    from geo_nemo.config.stage_bounds import different_texts
    from geo_nemo.diagnostics.limits import too_many_shards
    from geo_nemo.train.plan import check_fit, make_plan, plan_prepared
    from geo_nemo.train.setup import prepare

    run, has_store = _run(overrides, no_store)
    assumed = _assumptions(run, chip, tflops, mfu)
    processes = gpus or run.parallel.model_parallel_size
    if has_store:
        if vocab_size is not None:
            raise click.UsageError("the store has a vocabulary: leave out --vocab-size")
        with fetch_bar(run.data.store) as fetching:
            prepared = prepare(run, processes, fetching, tokens=False)
        plan = plan_prepared(prepared, processes, assumed)
        if shortage := too_many_shards(prepared.store.manifest):
            LOG.warning(shortage)
    else:
        plan = make_plan(run, (vocab_size or VOCAB_SIZE) + run.meta_tokens, processes, assumed)
    if json_path:
        content = json.dumps(asdict(plan, dict_factory=_named), indent=1, default=_plain)
        write_whole(Path(json_path), content.encode())
    if other := different_texts(run):
        LOG.warning(other)
    print_plan(plan)
    check_fit(plan, run)


# What the JSON once called it, it still does.
_NAMES = {"documents_per_sequence": "documents_per_row", "sequences": "rows", "fraction": "share"}


def _named(items: list[tuple[str, object]]) -> dict[str, object]:
    return {_NAMES.get(name, name.replace("_fraction", "_share")): value for name, value in items}


def _run(overrides: tuple[str, ...], no_store: bool) -> tuple["Run", bool]:
    """The run's config, and whether its store is there."""
    from geo_nemo.common.addresses import is_remote
    from geo_nemo.config import Run
    from geo_nemo.config.load import compose, validate

    settings = with_experiment(overrides)
    values = compose("train", settings)
    values.setdefault("output_dir", ".")  # the run's; nothing is written there
    data = values.setdefault("data", {})
    store = data.get("store") or ""
    data["store"] = store or "."  # which is not read where no store is given
    there = bool(store) and (is_remote(store) or Path(str(store)).exists())
    if store and not there and not no_store:
        LOG.info(f"no store at {store}: sizes alone")
    return validate("train", Run, values, typed=True), there and not no_store


def _assumptions(run: "Run", chip: str | None, tflops: float | None, mfu: float) -> "Assumptions":
    from geo_nemo.train.plan import Assumptions

    dtype = run.precision.dtype
    if chip and not tflops and peak_flops(chip.upper(), dtype) is None:
        raise click.UsageError(f"the peak of {chip} in {dtype} is not known: add --tflops")
    named = chip.upper() if chip else None
    return Assumptions(named or (None if tflops else DEFAULT_CHIP), tflops, mfu)


def _plain(value: object) -> object:
    """Sections of the config as JSON has them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"no JSON for {type(value).__name__}")
