"""Hugging Face datasets as `save_to_disk` leaves them: a folder of Arrow streams and their list.

A dataset holds state.json (which names its files) and dataset_info.json; several splits stand in
folders of their own beside dataset_dict.json. Source: the files that datasets 2 to 4 write.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from data_prep.read.places import FOLDER, Entry, Place
from data_prep.read.record import shown
from geo_nemo.common.errors import UserError

STATE, INFO, DICT = "state.json", "dataset_info.json", "dataset_dict.json"
_MAX_BYTES = 64 << 20


def is_dataset(inside: Sequence[Entry]) -> bool:
    """Whether a folder with these entries is a dataset, or several splits of one."""
    names = {entry.name for entry in inside}
    return DICT in names or names >= {STATE, INFO}


def dataset_entries(place: Place, folder: str, inside: Sequence[Entry]) -> Iterator[Entry]:
    """The Arrow files of a dataset, of all its splits. UserError where one is missing."""
    by_name = {entry.name: entry for entry in inside}
    if DICT in by_name:
        listed = _load(place, by_name[DICT].path, "splits")
        for name in _names(listed, by_name[DICT].path):
            split = by_name.get(name)
            below = place.entries(split.path) if split and split.kind == FOLDER else []
            if DICT in {entry.name for entry in below} or not is_dataset(below):
                raise UserError(f"{shown(folder)}: {DICT} names {name!r}, which is no dataset")
            yield from dataset_entries(place, split.path, below)
        return
    listed = _load(place, by_name[STATE].path, "_data_files")
    if isinstance(listed, list):
        listed = [file.get("filename") if isinstance(file, dict) else file for file in listed]
    for name in _names(listed, by_name[STATE].path):
        if name not in by_name:
            raise UserError(f"{shown(folder)}: {STATE} names {name!r}, which is not there")
        yield by_name[name]


def _load(place: Place, path: str, key: str) -> Any:
    data = place.content(path, _MAX_BYTES)
    try:
        return orjson.loads(data)[key]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise UserError(
            f"{shown(path)} is damaged: it has no {key}; save the dataset again"
        ) from None


def _names(listed: Any, path: str) -> list[str]:
    """Names of entries of the folder itself: nothing that leads out of it."""
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise UserError(f"{shown(path)} is damaged: it lists no files; save the dataset again")
    for name in listed:
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise UserError(f"{shown(path)} names {name!r}, which leads out of its folder")
    return listed
