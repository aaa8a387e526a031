"""A progress bar for long steps: rich on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from geo_nemo.common.addresses import is_remote
from geo_nemo.common.log import tells
from geo_nemo.common.progress import Progress as ProgressCallback
from geo_nemo.common.progress import no_progress

PLAIN_INTERVAL_S = 5.0
# Below it a step is over before its bytes say anything.
LEAST_BYTES = 100_000


@contextmanager
def progress_bar(unit: Literal["items", "bytes"] = "items") -> Iterator[ProgressCallback]:
    """Yield a progress callback that draws on stderr until the block ends.

    unit: what `done` and `total` count; bytes are shown as MB, with MB/s.
    """
    if not tells("info"):
        yield no_progress
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(unit)
        return
    counts = (
        (MofNCompleteColumn(),) if unit == "items" else (DownloadColumn(), TransferSpeedColumn())
    )
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        *counts,
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


@contextmanager
def fetch_bar(store: object, shown: bool = True) -> Iterator[ProgressCallback]:
    """A progress callback for opening `store`: in bytes where it comes from `s3://`, else none."""
    if shown and is_remote(store):
        with progress_bar("bytes") as progress:
            yield progress
    else:
        yield no_progress


def _plain_lines(unit: str) -> ProgressCallback:
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
        told = [_amount(done, total, unit), note]
        if unit == "bytes" and note and (total or 0) < LEAST_BYTES:
            told = [note]
        line = f"{stage}: {', '.join(filter(None, told))}"
        rate = (done - at_first) / (now - begin) if done > at_first and now > begin else 0.0
        if unit == "bytes" and rate and (total or 0) >= LEAST_BYTES:
            line += f", {rate / 1e6:.1f} MB/s"
        if total and rate and not finished:
            line += f", {(total - done) / rate:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    return show


def _amount(done: int, total: int | None, unit: str) -> str:
    if unit == "bytes":
        return f"{done / 1e6:.1f}" + (f"/{total / 1e6:.1f}" if total is not None else "") + " MB"
    return f"{done}" + (f"/{total}" if total is not None else "")
