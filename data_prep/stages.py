"""Stages that are there whole or not at all: a folder built aside, one rename.

A stage's key is a hash of all it depends on. The folder of a finished stage holds it in
`stage.json`; a later run with the same key takes the folder as it is.
"""

from collections.abc import Callable
from pathlib import Path

import orjson

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import write_synced
from geo_nemo.common.folders import building

STAGE_NAME = "stage.json"


def stage_is_whole(folder: Path, key: str) -> bool:
    """Whether `folder` is a finished stage with this key."""
    return _finished_key(folder) == key


def build_stage(folder: Path, key: str, build: Callable[[Path], None]) -> None:
    """Call `build` with an empty `<folder>.partial`, then move that into the place of `folder`.

    Raises UserError where `folder` exists and no stage of ours made it. Whatever stops `build`,
    `folder` stays as it was.
    """
    check_replaceable(folder)
    with building(folder) as partial:
        build(partial)
        write_synced(partial / STAGE_NAME, orjson.dumps({"key": key}))


def check_replaceable(folder: Path) -> None:
    """UserError where something stands in `folder` that no stage of ours made."""
    if folder.exists() and _finished_key(folder) is None:
        raise UserError(f"{folder} exists and was not made by geo-nemo prep: give another output")


def _finished_key(folder: Path) -> str | None:
    try:
        key = orjson.loads((folder / STAGE_NAME).read_bytes())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None
