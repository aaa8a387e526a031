"""The files of a checkpoint: which they are, whether each is what was written, which folders go.

Needs no torch, so that an evaluation's plan finds the same newest whole checkpoint as its scorer.

The record, `geo_nemo.json`, is the last file to be written. It lists every other file with its size
and its xxh3-128, and ends with a hash of itself: a folder is whole when each file is there, is as
long and as it was, and no other file is.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import write_synced, write_whole
from geo_nemo.common.log import logger
from geo_nemo.common.parse import parse_json
from geo_nemo.common.progress import Progress, no_progress

LOG = logger(__name__)

FORMAT = 2
RECORD = "geo_nemo.json"
LATEST = "latest"
# Of a checkpoint's folder, here and in a bucket; what is built or removed has another.
STEP_NAME = re.compile(r"step_\d{8,}")
_CHUNK = 1 << 22
_SHOWN = 3


class FileRecord(NamedTuple):
    """size: in bytes. xxh3_128: of the content, in hexadecimal digits."""

    size: int
    xxh3_128: str


Files = dict[str, FileRecord]


def file_record(path: Path) -> FileRecord:
    """Size and hash of a file, read in pieces."""
    digest, size = xxhash.xxh3_128(), 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
    return FileRecord(size, digest.hexdigest())


def write_record(folder: Path, content: dict[str, Any], files: Files) -> None:
    """Write the record of a checkpoint whose other files are all on disk."""
    record = {"format": FORMAT, **content, "files": {n: list(files[n]) for n in sorted(files)}}
    record["sha256"] = _hash(record)
    write_synced(folder / RECORD, json.dumps(record, indent=1).encode())


def read_record(checkpoint: Path) -> dict[str, Any]:
    """The content of a record.

    Raises:
        ValueError: it is not there, or is not as it was written; the message tells which.
        UserError: another version of geo_nemo wrote it.
    """
    try:
        content = (checkpoint / RECORD).read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{RECORD} is missing") from None
    except OSError:
        raise ValueError(f"{RECORD} is cut off or no record") from None
    return parse_record(content, str(checkpoint))


def parse_record(content: bytes, checkpoint: str) -> dict[str, Any]:
    """The same of a record that was read already; `checkpoint` is where, for the error."""
    try:
        record = parse_json(content)
        version = record["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{RECORD} is cut off or no record") from None
    if version != FORMAT:
        raise UserError(f"{checkpoint} has format {version}; this version reads {FORMAT}")
    if record.pop("sha256", None) != _hash(record):
        raise ValueError(f"{RECORD} was changed")
    return record


def listed_files(record: dict[str, Any]) -> Files:
    """The files that a record lists."""
    return {name: FileRecord(*entry) for name, entry in record["files"].items()}


def identity_of(record: dict[str, Any]) -> str:
    """Sixteen hex digits of the files that a record lists."""
    files = json.dumps(record["files"], sort_keys=True)
    return hashlib.sha256(files.encode()).hexdigest()[:16]


def shape_problem(checkpoint: Path) -> str:
    """What is wrong with names and sizes of a checkpoint's files; empty: nothing.

    Raises `UserError` where another version wrote it.
    """
    try:
        files = listed_files(read_record(checkpoint))
        found = {entry.name: entry for entry in os.scandir(checkpoint) if entry.name != RECORD}
        for name, (size, _) in files.items():
            if name not in found or not found[name].is_file():
                return f"{name} is missing"
            if (here := found[name].stat().st_size) != size:
                return f"{name} has {here:,} bytes of {size:,}"
    except (ValueError, OSError) as error:
        return str(error)
    foreign = sorted(found.keys() - files.keys())
    return f"{foreign[0]} does not belong to it" if foreign else ""


def content_problem(
    checkpoint: Path, names: Iterable[str] | None = None, progress: Progress = no_progress
) -> str:
    """The first of the files, all or `names`, whose content is not what was written."""
    files = listed_files(read_record(checkpoint))
    chosen = list(files if names is None else names)
    total, done = sum(files[name].size for name in chosen), 0
    for name in chosen:
        progress(f"compare {checkpoint.name}", done, total)
        try:
            if file_record(checkpoint / name) != files[name]:
                return f"{name} was changed since it was written"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        done += files[name].size
    progress(f"compare {checkpoint.name}", done, total)
    return ""


def checkpoints(directory: Path) -> list[Path]:
    """Every folder that bears a checkpoint's name, whole or not, oldest first.

    Others, such as a copy that a user keeps beside it as `step_00000100.best`, are none of the
    run's: they are neither gone on from nor removed.
    """
    found = directory.glob("step_*")
    return sorted((p for p in found if STEP_NAME.fullmatch(p.name) and p.is_dir()), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step in a checkpoint's name; -1 where it is no number."""
    number = checkpoint.name.removeprefix("step_")
    return int(number) if number.isdigit() else -1


_verified: dict[Path, list[tuple[str, int, int, int]]] = {}


def newest_whole(directory: Path, tell: Callable[[str], None] | None = None) -> Path | None:
    """The newest whole checkpoint, every byte of it read; None where there is no checkpoint.

    What is refused on the way is told, in a line each. What was read in this process and has kept
    its times is not read again. Raises `UserError` where there are checkpoints, and none is whole.
    """
    refused = Refused(directory, tell or LOG.warning)
    for checkpoint in reversed(checkpoints(directory)):
        problem = shape_problem(checkpoint)
        if not problem and _verified.get(checkpoint) != (stamps := _stamps(checkpoint)):
            problem = content_problem(checkpoint)
            if not problem:
                _verified[checkpoint] = stamps
        if not problem:
            return refused.in_favour_of(checkpoint)
        refused.add(checkpoint, problem)
    return refused.in_favour_of(None)


class Refused:
    """Checkpoints that were refused in a search for the newest whole one, and why."""

    def __init__(self, directory: Path, tell: Callable[[str], None]):
        self.directory = directory
        self.tell = tell
        self.why: dict[Path, str] = {}

    def add(self, checkpoint: Path, problem: str) -> None:
        self.why[checkpoint] = problem

    def in_favour_of(self, whole: Path | None) -> Path | None:
        """Tell what was refused; UserError where that was all there is."""
        if whole is None and self.why:
            shown = [f"{path.name} ({problem})" for path, problem in self.why.items()][:_SHOWN]
            more = f" and {len(self.why) - _SHOWN} more" if len(self.why) > _SHOWN else ""
            raise UserError(
                f"no checkpoint in {self.directory} is whole: {', '.join(shown)}{more}; restore "
                "one, or move the folder away to start anew"
            )
        for path, problem in self.why.items():
            used = whole.name if whole is not None else "none"
            self.tell(f"the checkpoint {path} is not whole: {problem}; {used} is used")
        return whole


def point_latest(directory: Path, checkpoint: Path) -> None:
    """Let the file `latest` name `checkpoint`; it names the old one or the new one, never less."""
    path, content = directory / LATEST, f"{checkpoint.name}\n".encode()
    try:
        if path.read_bytes() == content:
            return
    except OSError:
        pass
    write_whole(path, content)


def to_drop(
    directory: Path, newest: Path, keep_last: int, keep_best: int, damaged: Sequence[str] = ()
) -> list[Path]:
    """Checkpoints that go now that `newest` is written.

    Stay: the last `keep_last` up to it, and the `keep_best` of the lowest score. Those of `damaged`
    count as none, and go with those of their age. Later ones stay as they are.
    """
    past = [path for path in checkpoints(directory) if step_of(path) <= step_of(newest)]
    records = {}
    for path in past:
        try:
            records[path] = read_record(path)
        except (ValueError, UserError):
            continue  # not ours to remove, or not to be read
    counted = [path for path in records if path.name not in damaged]
    kept = set(counted[-keep_last:])
    scores = {path: records[path].get("score") for path in counted}
    # A loss that is no number has no place in an order: it would stand before the lowest.
    scored = [p for p, score in scores.items() if score is not None and not math.isnan(score)]
    scored.sort(key=lambda path: (scores[path], -step_of(path)))
    kept.update(scored[:keep_best])
    return [path for path in records if path not in kept]


def _hash(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _stamps(checkpoint: Path) -> list[tuple[str, int, int, int]]:
    stats = [(entry.name, entry.stat()) for entry in os.scandir(checkpoint)]
    return sorted((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in stats)
