"""Finds a stage's packing index in a folder, or has it built there, once, however many ask.

An index is built beside its place and renamed into it when it is whole. A lock keeps two jobs from
doing the work twice; where the file system has none, both do it, and the second finds its place
taken by equal bytes. What is damaged, torn or another's is built anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.common.folders import name_folder
from geo_nemo.common.lock import is_alive, taken
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import UserError
from geo_nemo.data.index.read import DamagedIndex, Index, open_index

_POLL_S = 0.2
# Of a thousand processes that wait, each asks the file system less often as it waits longer.
_MOST_POLL_S, _SLOWER = 2.0, 1.1
_ABANDONED_S = 24 * 3600.0


@dataclass(frozen=True)
class Place:
    """Where an index lies and what it must be.

    description: all that decides its content; plain JSON. dtype, num_groups: of its arrays.
    """

    folder: Path
    stage: str
    description: dict[str, Any]
    dtype: np.dtype
    num_groups: int

    @property
    def path(self) -> Path:
        """The folder of this index."""
        text = json.dumps(self.description, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self.folder / f"{self.stage or 'stage'}-{key}"

    def open(self, check_content: bool) -> Index | None:
        """The index, or None; raises `DamagedIndex`."""
        return open_index(self.path, self.description, self.dtype, self.num_groups, check_content)


def find_or_build(
    place: Place, build: Callable[[Path], None], progress: Progress = no_progress
) -> tuple[Index, bool]:
    """The index at `place`, and whether it was built now.

    build: writes a whole index into the new folder that it is given. progress: hears of the wait
    for another job that builds it.
    Raises `UserError` where the folder cannot be written.
    """
    found = _usable(place)
    if found is not None:
        return found, False
    with _writing(place.folder):
        place.folder.mkdir(parents=True, exist_ok=True)
        with _lock(place.path.with_name(place.path.name + ".lock"), place.stage, progress):
            found = _usable(place)
            if found is not None:
                return found, False
            _clear_abandoned(place.path)
            partial = place.path.with_name(
                f"{place.path.name}.{socket.gethostname()}-{os.getpid()}"
            )
            shutil.rmtree(partial, ignore_errors=True)
            try:
                build(partial)
                _move_into_place(partial, place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    found = _usable(place)
    if found is None:
        raise UserError(
            f"{place.path} was removed or changed while it was made: give this run a "
            f"data.index_dir of its own"
        )
    return found, True


def wait_for(place: Place, progress: Progress = no_progress) -> Index:
    """The index at `place`, once another process has built it; its content is not read.

    Ends only with the index: where the builder fails, the launcher ends this process too.
    """
    tries, wait_s = 0, _POLL_S
    while True:
        try:
            found = place.open(check_content=False)
        except (DamagedIndex, OSError):
            found = None  # the process that builds will replace it, or does so just now
        if found is not None:
            return found
        progress(f"index {place.stage}", tries, None, "another process builds it")
        tries += 1
        time.sleep(wait_s)
        wait_s = min(wait_s * _SLOWER, _MOST_POLL_S)


def _usable(place: Place) -> Index | None:
    try:
        return place.open(check_content=True)
    except DamagedIndex:
        return None


def _move_into_place(partial: Path, place: Place) -> None:
    while True:
        try:
            name_folder(partial, place.path)
            return
        except OSError:
            if not place.path.exists():
                raise
        if _usable(place) is not None:
            return
        # What is in the way is damaged: out of the way in one step, then removed.
        aside = partial.with_name(partial.name + ".damaged")
        os.rename(place.path, aside)
        shutil.rmtree(aside, ignore_errors=True)


def _clear_abandoned(path: Path) -> None:
    """Remove what builders that are no more have left half done."""
    for left in path.parent.glob(f"{path.name}.*-*"):
        host, _, pid = (
            left.name.removeprefix(f"{path.name}.").removesuffix(".damaged").rpartition("-")
        )
        here = host == socket.gethostname() and pid.isdigit()
        try:
            old = time.time() - left.stat().st_mtime > _ABANDONED_S
        except OSError:
            continue
        if old or (here and not is_alive(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _lock(path: Path, stage: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of an index, after whoever holds it now; without one where there are none."""
    with path.open("a", encoding="utf-8") as file:
        for tries in count():
            try:
                if taken(file):
                    break
            except OSError:
                break
            progress(f"index {stage}", tries, None, "another job builds it")
            time.sleep(_POLL_S)
        yield


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write the packing index in {folder}: {error.strerror or error}; give a folder "
            f"that can be written as data.index_dir"
        ) from error
