"""Files of JSON lines that a run appends to, and cuts back where it goes on from earlier."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from geo_nemo.common.files import write_whole
from geo_nemo.common.parse import parse_json


def keep_lines(path: Path, is_kept: Callable[[dict[str, Any]], bool]) -> None:
    """Keep the lines of `path`, where it exists, that `is_kept` says, up to one that is damaged.

    A kill or a loss of power cuts the last line off.
    """
    if not path.exists():
        return
    before = path.read_bytes()
    kept = []
    for line in before.splitlines():
        try:
            if is_kept(parse_json(line)):
                kept.append(line + b"\n")
        except (ValueError, KeyError, TypeError):
            break
    after = b"".join(kept)
    if after != before:
        write_whole(path, after)
