"""Runs of sizes that every FP8 recipe takes, on the synthetic news, and what they learn."""

import os

import pytest
import torch

from geo_nemo.config import Precision, Run, UserError
from geo_nemo.config.load import load_config
from geo_nemo.runtime.chip import check_chip, chip_of
from tests.support.tiny import tiny_run

# Multiples of 128, the most that a recipe asks for.
SHAPE = dict(
    num_layers=4,
    hidden_size=256,
    num_attention_heads=4,
    num_query_groups=2,
    ffn_hidden_size=512,
    init_method_std=0.02,
)
RECIPES = ("delayed", "tensorwise", "blockwise", "mxfp8")


def precision_of(name: str) -> Precision:
    """The precision of `recipes/precision/NAME.yaml`."""
    run = load_config("train", Run, ["output_dir=/r", "data.store=/s", f"precision={name}"])
    return run.precision


def skip_unless_able(run: Run, device) -> None:
    """Skip with the reason that a user would read where the chip or its software cannot do it."""
    try:
        check_chip(run.precision, run.parallel, chip_of(device))
    except UserError as error:
        pytest.skip(str(error))


def skip_unless_two() -> None:
    """Skip where two processes have no GPU each; the emulated device is each process's own."""
    if torch.cuda.device_count() < 2 and "GEO_NEMO_GPU_EMULATED" not in os.environ:
        pytest.skip("one GPU only: this needs two")


def news_run(store, output, steps=300, precision="bf16", **changes) -> Run:
    """A run over the synthetic news with a model of a few million parameters.

    precision: the name of a recipe, or a `Precision`.
    """
    if isinstance(precision, str):
        precision = precision_of(precision)
    base = tiny_run(store, output, device="gpu")
    train = dict(
        steps=steps, global_batch_size=8, micro_batch_size=4, lr=1e-3, min_lr=1e-4, warmup_steps=2
    )
    values = base.model_dump() | {
        "model": SHAPE,
        "train": train,
        "precision": precision.model_dump(),
        "checkpoint": {"every_steps": steps},
    }
    return Run.model_validate(values | changes)


def losses_of(run: Run, device) -> tuple[list[float], object]:
    """Losses of all steps of a run from where it stands, and its trainer."""
    from geo_nemo.train.loop import Trainer
    from geo_nemo.train.setup import prepare
    from tests.support.runs import Events

    events = Events()
    trainer = Trainer(prepare(run, world_size=1), device, [events])
    assert trainer.fit()
    return [event.report.loss for event in events.seen], trainer
