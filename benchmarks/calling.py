"""What the commands of all benchmarks share: options, the working folder, the run, the output."""

import importlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.machine import machine_facts
from benchmarks.results import Row, print_table, write_json

LOG_WIDTH = 150
TITLE = "ours beside peers; ratio above 1: ours is better"


def options(metrics: Mapping[str, str], quick: str) -> Callable[[Callable], Callable]:
    """Adds --quick, --json, --only, --rounds and --work. quick: what --quick says of itself."""
    listed = ", ".join(metrics)
    new_file = click.Path(dir_okay=False, path_type=Path)
    folder = click.Path(file_okay=False, path_type=Path)
    added = (
        click.option("--quick", is_flag=True, help=quick),
        click.option("--json", "json_path", type=new_file, help="Write the rows here too."),
        click.option(
            "--only", multiple=True, type=click.Choice(list(metrics)), metavar="METRIC",
            help=f"Measure this; may be given again. One of {listed}.",
        ),
        click.option(
            "--rounds", type=click.IntRange(1, 99), help="Rounds of each comparison; 3 or 2."
        ),
        click.option(
            "--work", type=folder,
            help="Folder for what is written, on the disk to measure; a temporary one, removed at "
            "the end.",
        ),
    )  # fmt: skip

    def decorate(function: Callable) -> Callable:
        for option in reversed(added):
            function = option(function)
        return function

    return decorate


def default_rounds(rounds: int | None, quick: bool) -> int:
    """Rounds of each comparison."""
    return rounds or (2 if quick else 3)


@contextmanager
def working_folder(work: Path | None) -> Iterator[Path]:
    """`work`, made where it is not there, or a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="geo-nemo-benchmark-") as temporary:
        folder = (work or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def measure(
    package: str, metrics: Mapping[str, str], only: tuple[str, ...], setting: Any
) -> list[Row]:
    """Rows of the metrics in `only` (all where it is empty), in the order of `metrics`.

    metrics: the module of `package` that measures each; one may measure several in one go.
    """
    wanted = set(only or metrics)
    console = Console(stderr=True)
    rows: list[Row] = []
    for module in dict.fromkeys(metrics[name] for name in metrics if name in wanted):
        names = sorted(name for name in wanted if metrics[name] == module)
        with console.status(f"measuring {', '.join(names)}"):
            found = importlib.import_module(f"{package}.{module}").measure(setting)
        rows += [row for row in found if row.metric in wanted]
    return rows


def kept(coming: Iterable[Row], json_path: Path | None) -> list[Row]:
    """All rows; what has come so far is written after each, for a run that is stopped."""
    rows: list[Row] = []
    for row in coming:
        rows.append(row)
        if json_path is not None:
            write_json(json_path, rows, machine_facts())
    return rows


def tell(rows: list[Row], json_path: Path | None) -> None:
    """Print the table, and write the JSON."""
    machine = machine_facts()
    # In a log as wide as the table, on a terminal as that is.
    console = Console() if Console().is_terminal else Console(width=LOG_WIDTH)
    print_table(TITLE, rows, machine, console)
    if json_path is not None:
        write_json(json_path, rows, machine)
