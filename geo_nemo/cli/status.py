"""`geo-nemo status`: how runs stand, from their folders."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geo_nemo.cli.units import duration

if TYPE_CHECKING:
    from geo_nemo.diagnostics.status import RunStatus

EXIT_BROKEN = 2
# Of a table that goes to a file, where nothing says how wide it may be.
FILE_COLUMNS = 160
COLOURS = {
    "running": "green", "finished": "green", "waiting": "yellow", "stopped": "yellow",
    "silent": "red", "failed": "red", "broken": "red",
}  # fmt: skip


@click.command(
    epilog="Example: geo-nemo status runs/a runs/b\n\nOf a sweep, each minute: geo-nemo status "
    "runs/sweep --watch 60"
)
@click.argument(
    "runs",
    nargs=-1,
    required=True,
    metavar="RUN...",
    type=click.Path(path_type=Path, readable=False),
)
@click.option("--json", "as_json", is_flag=True, help="Print all that is known, as JSON.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.5),
    metavar="SECONDS",
    help="Look again each so many seconds, until Ctrl-C.",
)
def command(runs: tuple[Path, ...], as_json: bool, watch: float | None) -> int:
    """Show how runs stand: step, loss, speed, time left, restarts, checkpoint, last error.

    RUN is the output_dir of a training, or a folder of several. It is read from outside: no torch,
    and nothing of the run is touched. Where a SLURM job holds the folder, squeue and sacct are
    asked. Exits with 2 where a folder cannot be read or is no run's; the others are shown.
    """
    from geo_nemo.diagnostics.status import read_statuses, runs_below

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = FILE_COLUMNS
    with suppress(KeyboardInterrupt):
        while True:
            statuses = read_statuses([run for folder in runs for run in runs_below(folder)])
            if watch and console.is_terminal:
                console.clear()
            if as_json:
                click.echo(json.dumps([asdict(status) for status in statuses], indent=1))
            else:
                show(statuses, console)
            if not watch:
                return EXIT_BROKEN * any(status.state == "broken" for status in statuses)
            time.sleep(watch)
    return 0


def show(statuses: Sequence["RunStatus"], console: Console) -> None:
    """A table, and below it a line for each thing that went wrong."""
    title = f"geo-nemo status, {time.strftime('%H:%M:%S')}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    table.add_column("state", overflow="fold")
    for name in ("step", "stage", "loss", "tokens/s", "left", "restarts", "saved"):
        table.add_column(name, justify="left" if name == "stage" else "right", overflow="fold")
    for status in statuses:
        if status.state != "broken" or status.step is not None:
            table.add_row(*_cells(status))
    if table.row_count:
        console.print(table)
    for status in statuses:
        for line in _lines(status):
            console.print(line, soft_wrap=True)


def _cells(status: "RunStatus") -> tuple[str, ...]:
    colour = COLOURS[status.state]
    steps = "?" if status.steps is None else f"{status.steps:,}"
    stage = status.stage or "-"
    if status.stages and status.stage:
        names = [each.name for each in status.stages]
        stage = f"{status.stage} {names.index(status.stage) + 1}/{len(names)}"
    return (
        escape(status.run),
        f"[{colour}]{escape(_state(status))}[/{colour}]",
        "-" if status.step is None else f"{status.step:,}/{steps}",
        escape(stage),
        "-" if status.loss is None else f"{status.loss:.3f}",
        "-" if status.tokens_per_second is None else f"{status.tokens_per_second:,.0f}",
        _left(status),
        f"{status.restarts:,}",
        _checkpoint(status),
    )


def _state(status: "RunStatus") -> str:
    words: str = status.state
    if status.state == "silent" and status.silent_seconds is not None:
        words = f"silent for {duration(round(status.silent_seconds))}"
    if status.job is not None:
        words += f", job {status.job.id} {status.job.state}"
        if status.job.waits and status.job.reason:
            words += f" ({status.job.reason})"
    return words


def _left(status: "RunStatus") -> str:
    if status.seconds_left is None or status.state == "finished":
        return "-"
    left = duration(round(status.seconds_left))
    if status.state != "running" or not status.seconds_left:
        return left
    end = time.localtime(time.time() + status.seconds_left)
    soon = status.seconds_left < 12 * 3600
    return f"{left} ({time.strftime('%H:%M' if soon else '%a %d %b %H:%M', end)})"


def _checkpoint(status: "RunStatus") -> str:
    if status.checkpoint is None:
        return "none"
    age = duration(round(status.checkpoint_age or 0.0))
    return f"{int(status.checkpoint.removeprefix('step_')):,}, {age} ago"


def _lines(status: "RunStatus") -> list[str]:
    told = []
    if status.problem:
        told.append(f"[red]{escape(status.run)}: {escape(status.problem)}[/red]")
    for damaged in status.damaged_checkpoints:
        told.append(f"{escape(status.run)}: checkpoint {escape(damaged)}")
    if status.last_error is not None and status.state != "finished":
        ago = duration(round(max(time.time() - status.last_error.time, 0.0)))
        told.append(
            f"{escape(status.run)}: {ago} ago, {escape(status.last_error.line)} "
            f"({escape(status.last_error.source)})"
        )
    return told
