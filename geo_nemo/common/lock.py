"""One process at a time in an output folder."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import make_folder, writing
from geo_nemo.common.log import logger

LOG = logger(__name__)

LOCK_NAME = ".lock"
POLL_S = 0.2


def is_alive(pid: int) -> bool:
    """Whether a process of this machine may still be there; one that may not be asked is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@contextmanager
def folder_lock(folder: Path, patience_s: float = 0.0, another: str = "folder") -> Iterator[None]:
    """Create `folder` and hold its lock; `UserError` when it is held or cannot be written.

    The lock is the kernel's, so it ends with the process, however that ends; but that of a node
    which died an NFS server keeps for a while.
    patience_s: how long another may still hold it. another: what a user may give in its place.
    """
    until = time.monotonic() + patience_s
    make_folder(folder)
    with writing(folder):
        file = (folder / LOCK_NAME).open("a")
    with file:
        is_told = not patience_s
        try:
            while not taken(file):
                if not is_told:
                    is_told = True
                    LOG.info(f"another process is writing in {folder}: waits {patience_s:.0f} s")
                if time.monotonic() >= until:
                    raise UserError(
                        f"another process is writing in {folder}: wait for it, or give another "
                        f"{another}"
                    )
                time.sleep(POLL_S)
        except OSError as error:
            # Lustre without the mount option flock, for one.
            raise UserError(
                f"cannot lock {folder}: {error.strerror}; give a folder on a file system with locks"
            ) from None
        yield


def taken(file: TextIO) -> bool:
    """Take the lock of an open file, unless another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def waiting_lock(path: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the file `path`, after whoever holds it now; `UserError` without locks.

    waits: called again and again while another process holds it.
    """
    make_folder(path.parent)
    with writing(path):
        file = path.open("a", encoding="utf-8")
    with file:
        try:
            while not taken(file):
                waits()
                time.sleep(POLL_S)
        except OSError as error:
            raise UserError(
                f"cannot lock {path}: {error.strerror}; give a folder on a file system with locks"
            ) from None
        yield


@contextmanager
def trying_lock(path: Path) -> Iterator[None]:
    """Hold the lock of the file `path`; BlockingIOError where another process does.

    OSError where the file cannot be made, or there are no locks.
    """
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
