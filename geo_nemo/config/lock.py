"""One process at a time in an output folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_nemo.config.errors import UserError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Create `folder` and hold its lock; `UserError` when it is held or cannot be written.

    The lock is the kernel's, so it ends with the process, however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is writing in {folder}: wait for it, or give another folder"
            ) from None
        yield
