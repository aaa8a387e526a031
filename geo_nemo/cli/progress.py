"""A progress bar for long steps: rich on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from geo_nemo.config.progress import Progress as ProgressCallback

PLAIN_INTERVAL_S = 5.0


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Yield a progress callback that draws on stderr until the block ends."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines()
        return
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bar:
        tasks: dict[str, int] = {}

        def show(stage: str, done: int, total: int | None = None, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, note=note)
            bar.update(tasks[stage], completed=done, total=total, note=note)

        yield show


def _plain_lines() -> ProgressCallback:
    """A line per stage at its start, every few seconds, and at its end: for logs and CI."""
    last: dict[str, tuple[float, int]] = {}
    started: dict[str, tuple[float, int]] = {}

    def show(stage: str, done: int, total: int | None = None, note: str = "") -> None:
        now = time.monotonic()
        begin, at_first = started.setdefault(stage, (now, done))
        when, before = last.get(stage, (0.0, -1))
        finished = total is not None and done >= total
        if done == before or (now - when < PLAIN_INTERVAL_S and not finished):
            return
        last[stage] = (now, done)
        of = f"/{total}" if total is not None else ""
        line = f"{stage}: {done}{of} {note}".rstrip()
        if total and at_first < done < total:
            left = (now - begin) / (done - at_first) * (total - done)
            line += f", {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    return show
