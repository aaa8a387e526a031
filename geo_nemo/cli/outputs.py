"""The output folder of a command that may be stopped and goes on in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_nemo.common.lock import LOCK_NAME, folder_lock
from geo_nemo.config import RunError, UserError


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Locked; an error leaves no empty folder behind, as of a model that does not load."""
    was_there = folder.exists()
    with folder_lock(folder):
        try:
            yield
        except (UserError, RunError):
            if not was_there and {path.name for path in folder.iterdir()} <= {LOCK_NAME}:
                shutil.rmtree(folder)
            raise
