"""Which rank of a run that hung is the one to look at, by the stacks that the watchdogs left.

All ranks but one wait for that one, mostly in the same place: the rank whose stack is another is
the one that the others wait for. So is one that left none, whose process did not even run.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from geo_nemo.diagnostics.files import last_lines, modified, read_text

# The main thread's stack is the last of the file.
_TAIL_BYTES = 1 << 14
_FRAME = re.compile(r'\s+File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.+)')
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Hang:
    """line: what is known of it, in a line. path: the stacks to look at. time: of the newest."""

    line: str
    path: Path
    time: float


def hang(folder: Path) -> Hang | None:
    """Of the folder `stacks` of a run; None where none has hung."""
    written, silent = [], []
    for path in sorted(folder.glob("rank_*.txt")):
        if not (path.stem[5:].isdigit() and path.is_file()):
            continue
        # While a run goes on a rank's file is there, and empty.
        (written if _size(path) else silent).append(path)
    # Files are made as ranks begin: stacks from before that are of another start.
    begun = max((modified(path) or 0.0 for path in silent), default=0.0)
    written = [path for path in written if (modified(path) or 0.0) >= begun]
    if not written:
        return None
    when = max(modified(path) or 0.0 for path in written)
    alike: dict[tuple[str, ...], list[Path]] = {}
    for path in written:
        alike.setdefault(_main_stack(path), []).append(path)
    # The fewest first; of as many, those that were the first to see no progress.
    groups = sorted(alike.items(), key=lambda group: (len(group[1]), _first(group[1])))
    suspect = groups[0][1][0]
    said = _said(suspect)
    if len(groups) > 1:
        (odd, few), (usual, many) = groups[0], groups[-1]
        others = f"{_ranks(many)} in {_place(usual, odd)}"
        said = f"{_ranks(few)} stood in {_place(odd, usual)}, {others}; {said}"
    elif silent:
        said = f"{_ranks(silent)} left no stack; {said}"
    return Hang(said, suspect, when)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _first(paths: Sequence[Path]) -> float:
    return min(modified(path) or 0.0 for path in paths)


def _said(path: Path) -> str:
    return read_text(path, 4096).partition("\n")[0].removeprefix("geo-nemo: ")


def _main_stack(path: Path) -> tuple[str, ...]:
    """Frames of the main thread, the innermost first; empty where there are none."""
    lines = [line.decode(errors="replace") for line in reversed(last_lines(path, _TAIL_BYTES))]
    return tuple(reversed([*takewhile(_FRAME.fullmatch, lines)]))


def _place(stack: Sequence[str], other: Sequence[str]) -> str:
    """The innermost frame that the other has not, of this package where there is one."""
    apart = [frame for frame in stack if frame not in other]
    ours = [frame for frame in apart if "/geo_nemo/" in frame]
    found = _FRAME.fullmatch(next(iter([*ours, *apart, *stack]), ""))
    if found is None:
        return "a place that is not known"
    return f"{found['name']} ({Path(found['file']).name}:{found['line']})"


def _ranks(paths: Sequence[Path]) -> str:
    named = ", ".join(str(int(path.stem[5:])) for path in paths[:_NAMED])
    more = len(paths) - _NAMED
    return f"rank{'s' * (len(paths) > 1)} {named}{f' and {more} more' * (more > 0)}"
