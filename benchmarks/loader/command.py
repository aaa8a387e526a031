"""`python -m benchmarks loader`: which metrics there are, and their options."""

import importlib
import tempfile
from pathlib import Path

import click
from rich.console import Console

from benchmarks.loader.setting import Setting
from benchmarks.machine import machine_facts
from benchmarks.results import Row, print_table, write_json
from geo_nemo.config.errors import UserError

# Metric to the module that measures it.
METRICS = {"tokens_per_second": "speed", "index_build": "index", "peak_memory": "index"}
LOG_WIDTH = 150
TITLE = "ours beside peers; ratio above 1: ours is better"


@click.command(epilog="Example: python -m benchmarks loader --quick --json loader.json")
@click.option("--quick", is_flag=True, help="Small stores, two rounds: about a minute.")
@click.option("--large", is_flag=True, help="Indices of 1 and 10 million documents.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the rows here too.",
)  # fmt: skip
@click.option(
    "--only", multiple=True, type=click.Choice(list(METRICS)), metavar="METRIC",
    help=f"Measure this; may be given again. One of {', '.join(METRICS)}.",
)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 99), help="Rounds of each comparison; 3 or 2.")
@click.option(
    "--work", type=click.Path(file_okay=False, path_type=Path),
    help="Folder for stores and outputs; a temporary one, removed at the end.",
)  # fmt: skip
def command(
    quick: bool,
    large: bool,
    json_path: Path | None,
    only: tuple[str, ...],
    rounds: int | None,
    work: Path | None,
) -> None:
    """Packed rows: speed beside Megatron-Core's dataset, time and memory of the index."""
    if quick and large:
        raise UserError("--quick and --large exclude each other: give one of them")
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="geo-nemo-loader-") as temporary:
        folder = (work or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        setting = Setting(folder, quick, large, rounds or (2 if quick else 3))
        rows = measure(setting, only or tuple(METRICS), console)
    machine = machine_facts()
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
            found = importlib.import_module(f"benchmarks.loader.{module}").measure(setting)
        rows += [row for row in found if row.metric in wanted]
    return rows
