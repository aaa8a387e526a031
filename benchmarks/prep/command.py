"""`python -m benchmarks prep`: which metrics there are, and the options they share."""

from pathlib import Path

import click

from benchmarks import calling
from benchmarks.prep.setting import Setting
from geo_nemo.common.errors import UserError

# Metric to the module that measures it; one module may measure several in one go.
METRICS = {
    "tokenise": "tokenise",
    "tokenise_stage": "tokenise",
    "jsonl_to_store_vs_megatron": "to_store",
    "jsonl_to_store_vs_megatron_fast": "fast_store",
    "jsonl_to_store_near_vs_megatron_fast": "fast_store",
    "jsonl_to_store_vs_datatrove": "to_store",
    "store_bytes": "to_store",
    "scaling": "scaling",
    "near_dedup": "near_dedup",
    "url_to_country": "url_to_country",
    "extraction_f1": "extraction",
    "extraction_seconds": "extraction",
    "peak_memory": "peak_memory",
    "ingest_beside": "beside",
    "tokenise_beside": "beside",
}
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="Example: python -m benchmarks prep --quick --only tokenise --json prep.json")
@calling.options(METRICS, "Small corpora, two rounds: under two minutes.")
@click.option(
    "--large",
    is_flag=True,
    help="Larger corpora; peak_memory on 1 and 10 million documents takes an hour.",
)
@click.option(
    "--input",
    "input_path",
    type=FILE,
    help="Real text instead of the generated: JSON Lines with `text`, .gz or plain.",
)
@click.option("--tokenizer", type=FILE, help="A tokenizer.json, instead of a trained one.")
@click.option(
    "--megatron",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Checkout of Megatron-LM, for its tools/preprocess_data.py and preprocess_data_fast.py.",
)
@click.option(
    "--extraction",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Checkout of article-extraction-benchmark, for extraction_f1 and extraction_seconds.",
)
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="An older checkout, beside which the stages ingest and tokenise are measured.",
)
def command(
    quick: bool,
    large: bool,
    json_path: Path | None,
    only: tuple[str, ...],
    rounds: int | None,
    input_path: Path | None,
    tokenizer: Path | None,
    megatron: Path | None,
    extraction: Path | None,
    beside: Path | None,
    work: Path | None,
) -> None:
    """Data preparation: speed, bytes and memory beside other tools."""
    if quick and large:
        raise UserError("--quick and --large exclude each other: give one of them")
    needing = [name for name in only if METRICS[name] == "extraction"]
    if needing and extraction is None:
        raise UserError(
            f"--only {needing[0]} needs pages with known text: add --extraction PATH, a checkout "
            "of github.com/scrapinghub/article-extraction-benchmark"
        )
    compared = [name for name in only if METRICS[name] == "beside"]
    if compared and beside is None:
        raise UserError(f"--only {compared[0]} needs an older checkout: add --beside PATH")
    with calling.working_folder(work) as folder:
        turns = calling.default_rounds(rounds, quick)
        paths = (input_path, tokenizer, megatron, extraction, beside)
        setting = Setting(folder, quick, large, turns, *paths)
        rows = calling.measure("benchmarks.prep", METRICS, only, setting)
    calling.tell(rows, json_path)
