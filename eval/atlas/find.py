"""Which benchmarks are in a folder: by the names that they were released under."""

import re
from dataclasses import dataclass
from pathlib import Path

from eval.atlas.benchmarks import ENDINGS
from eval.kinds import BENCHMARKS, TASKS
from geo_nemo.config import UserError

COMPRESSED = ".gz"


@dataclass(frozen=True)
class Found:
    """A benchmark; path: None where it is not there. files: how its file or folder may be named."""

    name: str
    path: Path | None
    files: tuple[str, ...]
    source: str


def find(folder: Path, wanted: tuple[str, ...] | None) -> list[Found]:
    """Each benchmark of the names, or of all; `UserError` where the folder is none."""
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "no such folder"
        raise UserError(f"benchmarks={folder}: {what}; give the folder that the benchmarks are in")
    entries = sorted(folder.iterdir())
    found = []
    for name in wanted or BENCHMARKS:
        task = TASKS.load(name, "only")
        here = [path for path in entries if is_named(path, task.files)]
        if len(here) > 1:
            raise UserError(
                f"benchmarks={folder}: {here[0].name} and {here[1].name} are both {name}: move one "
                "of them away, or put both in a folder of that name"
            )
        found.append(Found(name, here[0] if here else None, task.files, task.source))
    return found


def is_named(path: Path, names: tuple[str, ...]) -> bool:
    """Whether a file of questions, or a folder, begins with one of the names, folded."""
    if path.name.startswith(".") or not (path.is_dir() or _is_read(path)):
        return False
    folded = re.sub(r"[^a-z0-9]", "", path.name.lower())
    return folded.startswith(names)


def _is_read(path: Path) -> bool:
    suffixes = path.suffixes[-2:]
    return path.suffix in ENDINGS or (suffixes[-1:] == [COMPRESSED] and ".jsonl" in suffixes)
