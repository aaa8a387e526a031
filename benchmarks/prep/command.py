"""`python -m benchmarks prep`: which metrics there are, and the options they share."""

import importlib
import tempfile
from pathlib import Path

import click
from rich.console import Console

from benchmarks.machine import machine_facts
from benchmarks.prep.setting import Setting
from benchmarks.results import Row, print_table, write_json
from geo_nemo.config.errors import UserError

# Metric to the module that measures it; one module may measure several in one go.
METRICS = {
    "tokenise": "tokenise",
    "jsonl_to_store_vs_megatron": "to_store",
    "jsonl_to_store_vs_datatrove": "to_store",
    "store_bytes": "to_store",
    "scaling": "scaling",
    "near_dedup": "near_dedup",
    "url_to_country": "url_to_country",
    "peak_memory": "peak_memory",
}
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
LOG_WIDTH = 150
TITLE = "ours beside peers; ratio above 1: ours is better"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m benchmarks prep --quick --only tokenise --json prep.json",
)
@click.option("--quick", is_flag=True, help="Small corpora, two rounds: under two minutes.")
@click.option("--large", is_flag=True, help="peak_memory on 1 and 10 million documents: hours.")
@click.option("--json", "json_path", type=NEW_FILE, help="Write the rows here too.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(METRICS)),
    metavar="METRIC",
    help=f"Measure this; may be given again. One of {', '.join(METRICS)}.",
)
@click.option("--rounds", type=click.IntRange(1, 99), help="Rounds of each comparison; 3 or 2.")
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
    help="Checkout of Megatron-LM, for its tools/preprocess_data.py.",
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for corpora and outputs; a temporary one, removed at the end.",
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
    work: Path | None,
) -> None:
    """Data preparation: speed, bytes and memory beside other tools."""
    if quick and large:
        raise UserError("--quick and --large exclude each other: give one of them")
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="geo-nemo-prep-") as temporary:
        folder = (work or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        setting = Setting(
            folder, quick, large, rounds or (2 if quick else 3), input_path, tokenizer, megatron
        )
        rows = measure(setting, only or tuple(METRICS), console)
    machine = machine_facts()
    # In a log as wide as the table, on a terminal as that is.
    console = Console() if Console().is_terminal else Console(width=LOG_WIDTH)
    print_table(TITLE, rows, machine, console)
    if json_path is not None:
        write_json(json_path, rows, machine)


def measure(setting: Setting, only: tuple[str, ...], console: Console) -> list[Row]:
    """Rows of the metrics in `only`, in the order of METRICS."""
    rows: list[Row] = []
    for module in dict.fromkeys(METRICS[name] for name in METRICS if name in only):
        wanted = {name for name in only if METRICS[name] == module}
        with console.status(f"measuring {', '.join(sorted(wanted))}"):
            found = importlib.import_module(f"benchmarks.prep.{module}").measure(setting)
        rows += [row for row in found if row.metric in wanted]
    return rows
