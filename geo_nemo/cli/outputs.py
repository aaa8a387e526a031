"""The output folder of a command that may be stopped and goes on in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_nemo.common.lock import LOCK_NAME, folder_lock


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Locked; an error leaves no folder without a file behind, as of a model that does not load."""
    was_there = folder.exists()
    with folder_lock(folder):
        try:
            yield
        except BaseException:
            if not was_there and not _files(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _files(folder: Path) -> list[Path]:
    """What stands in a folder and those in it, but its lock."""
    return [p for p in folder.rglob("*") if not p.is_dir() and p != folder / LOCK_NAME]
