"""Files of a run that is under way, or was killed: read as far as they are whole."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from geo_nemo.common.parse import parse_json

# The longest line of metrics, of all countries, has some 10 kB.
TAIL_BYTES = 1 << 18


def open_file(path: Path) -> BinaryIO:
    """Open a file that is one; OSError, and no wait, where it is a pipe or the like."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is no file", str(path))
    return os.fdopen(descriptor, "rb")


def read_text(path: Path, size: int = TAIL_BYTES) -> str:
    """The beginning of a file; empty where it is not read."""
    try:
        with open_file(path) as file:
            return file.read(size).decode(errors="replace")
    except OSError:
        return ""


def json_object(path: Path) -> dict[str, Any]:
    """The object in a file; ValueError where there is none in it, OSError where it is not read."""
    with open_file(path) as file:
        content = parse_json(file.read())
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    return content


def json_object_or_none(path: Path) -> dict[str, Any] | None:
    """The same; None where that fails."""
    try:
        return json_object(path)
    except (OSError, ValueError):
        return None


def last_lines(path: Path, size: int = TAIL_BYTES) -> list[bytes]:
    """The last whole lines of a file, within so many bytes of its end; none where it is not read.

    A last line without its end is a write that is under way, or was cut off.
    """
    try:
        with open_file(path) as file:
            start = max(0, file.seek(0, 2) - size)
            file.seek(start)
            lines = file.read(size).split(b"\n")
    except OSError:
        return []
    return lines[bool(start) : -1]


def last_objects(path: Path, size: int = TAIL_BYTES) -> Iterator[dict[str, Any]]:
    """The objects in the last lines of a file of JSON lines, the last one first."""
    for line in reversed(last_lines(path, size)):
        try:
            content = parse_json(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            yield content


def modified(path: Path) -> float | None:
    """Seconds since the epoch; None where there is no such file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def number(value: Any) -> float | None:
    """A number of a file that may hold anything; None where it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < 1e300 else None
