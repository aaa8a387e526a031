"""The last thing that went wrong in a run: what its processes and its jobs have left of it."""

import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from geo_nemo.diagnostics.files import (
    json_object_or_none,
    last_lines,
    last_objects,
    modified,
    number,
    read_text,
)
from geo_nemo.diagnostics.stacks import hang

END = "end.json"
_LONGEST = 300
# What a rank says of a hang, and a job (slurm/train.sbatch).
_HUNG = re.compile(r" made no progress for |^hung; ")
# Lines of a rank's log that say why it ended, the best first.
_CAUSES = (
    re.compile(r"^geo-nemo: (?!note|warning|stopped|.*: saves after this step)(?P<line>.+)"),
    re.compile(r"^(?P<line>(?:[A-Za-z_][\w.]*)?(?:Error|Exception|Interrupt|Exit)\b.*)"),
    re.compile(r"^(?P<line>(?:Segmentation fault|Killed|Bus error|.*[Oo]ut of memory).*)"),
)
# Exit codes that are no failure: finished; stopped and saved.
# Exit codes above it are of processes that a signal ended.
SIGNALS = 128
_GOOD = ("0", "75")


@dataclass(frozen=True, slots=True)
class Failure:
    """time: seconds since the epoch. source: the file that tells it."""

    time: float
    line: str
    source: str


def last_failure(folder: Path) -> Failure | None:
    """The newest of all that is noted; None where nothing is."""
    found = [
        failure
        for look in (_end, _bad_step, _stacks, _start)
        for failure in look(folder)
        if failure is not None
    ]
    # Of one moment, the rank's own words come before the verdict on them.
    newest = max(found, key=lambda failure: failure.time, default=None)
    if newest is None or not _HUNG.search(newest.line):
        return newest
    # Every rank says so, and the job after them: which one it was stands in the stacks.
    return next((failure for failure in found if failure.source.startswith("stacks/")), newest)


def starts(folder: Path) -> list[Path]:
    """`slurm/JOB/START` of every start, oldest first."""
    found = []
    with suppress(OSError):
        for job in (folder / "slurm").iterdir():
            if job.name.isdigit():
                found += [start for start in job.iterdir() if start.name.isdigit()]
    return sorted(found, key=lambda start: (int(start.parent.name), int(start.name)))


def verdict(start: Path) -> str:
    """What the job came to say of a start; empty: nothing yet."""
    lines = last_lines(start / "verdict")
    return _line(lines[-1]) if lines else ""


def _end(folder: Path) -> Iterator[Failure | None]:
    end = json_object_or_none(folder / END)
    if end is not None and end.get("event") == "failed":
        when = number(end.get("time")) or modified(folder / END) or 0.0
        yield Failure(when, _line(str(end.get("why"))), END)


def _bad_step(folder: Path) -> Iterator[Failure | None]:
    path = folder / "bad_steps.jsonl"
    for noted in last_objects(path):
        action = noted.get("action")
        yield Failure(modified(path) or 0.0, _line(f"{noted.get('reason')} ({action})"), path.name)
        return


def _stacks(folder: Path) -> Iterator[Failure | None]:
    with suppress(OSError):
        if (found := hang(folder / "stacks")) is not None:
            yield Failure(found.time, _line(found.line), f"stacks/{found.path.name}")


def _start(folder: Path) -> Iterator[Failure | None]:
    """The newest start that left a rank's failure, or a verdict that is none of success."""
    for start in reversed(starts(folder)):
        said, of_rank = verdict(start), _first_rank(start)
        when = modified(start / "verdict")
        if of_rank is not None:
            yield of_rank
            return
        if said and said != "finished" and not said.startswith("stopped and saved"):
            yield Failure(when or 0.0, said, f"{_name(start)}/verdict")
            return


def _first_rank(start: Path) -> Failure | None:
    """The first rank to fail, by the clock, and the line of its log that says why."""
    failed = []
    with suppress(OSError):
        for path in start.glob("rank_*.exit"):
            code, when, *_ = (*read_text(path).split(), "", "")
            if code.isdigit() and code not in _GOOD and when.isdigit():
                failed.append((int(when), code, path))
    if not failed:
        return None
    when, code, path = min(failed)
    log = path.with_suffix(".err")
    number = int(code) - SIGNALS
    lines = [_line(line) for line in last_lines(log)]
    # A process that is killed says nothing of it: whatever it said is of another thing.
    cause = "" if number in (signal.SIGKILL, signal.SIGTERM) else _named_cause(lines)
    if number > 0:
        cause = cause or f"ended by signal {number}"
    cause = cause or _last_of(lines) or f"exit {code}"
    return Failure(when / 1e9, f"{path.stem}: {cause}", f"{_name(start)}/{log.name}")


def cause_line(log: Path) -> str:
    """The line of a log that says why its process ended, else its last one; or empty."""
    lines = [_line(line) for line in last_lines(log)]
    return _named_cause(lines) or _last_of(lines)


def _named_cause(lines: list[str]) -> str:
    """The line that names an error; empty: none does."""
    for cause in _CAUSES:
        for line in reversed(lines):
            if found := cause.match(line):
                return found["line"]
    return ""


def _last_of(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line), "")


def _name(start: Path) -> str:
    return f"slurm/{start.parent.name}/{start.name}"


def _line(text: str | bytes) -> str:
    """One line that a terminal shows as it is."""
    told = text.decode(errors="replace") if isinstance(text, bytes) else text
    told = "".join(c if c.isprintable() else " " for c in told)
    return " ".join(told.split())[:_LONGEST]
