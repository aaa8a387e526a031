"""`python -m benchmarks train_step`: which metrics there are, and their options."""

import importlib
import tempfile
from pathlib import Path

import click
from rich.console import Console

from benchmarks.machine import machine_facts
from benchmarks.results import Row, print_table, write_json
from benchmarks.train_step.setting import Setting

# Metric to the module that measures it.
METRICS = {"async_save_stall": "async_save", "step_vs_hf": "step_vs_hf"}
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
LOG_WIDTH = 150
TITLE = "ours beside peers; ratio above 1: ours is better"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m benchmarks train_step --quick --json train_step.json",
)
@click.option("--quick", is_flag=True, help="Small models, two rounds: about a minute.")
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
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for checkpoints, on the disk to measure; a temporary one, removed at the end.",
)
def command(
    quick: bool,
    json_path: Path | None,
    only: tuple[str, ...],
    rounds: int | None,
    work: Path | None,
) -> None:
    """Training: the cost of a save, and the train step beside Hugging Face's on a CPU."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="geo-nemo-train-") as temporary:
        folder = (work or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        setting = Setting(folder, quick, rounds or (2 if quick else 3))
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
    for name in METRICS:
        if name in only:
            with console.status(f"measuring {name}"):
                module = importlib.import_module(f"benchmarks.train_step.{METRICS[name]}")
                rows += module.measure(setting)
    return rows
