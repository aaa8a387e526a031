"""One process at a time in an output folder."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import make_folder, writing

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
def folder_lock(folder: Path) -> Iterator[None]:
    """Create `folder` and hold its lock; `UserError` when it is held or cannot be written.

    The lock is the kernel's, so it ends with the process, however that ends.
    """
    make_folder(folder)
    with writing(folder):
        file = (folder / LOCK_NAME).open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is writing in {folder}: wait for it, or give another folder"
            ) from None
        except OSError as error:
            # Lustre without the mount option flock, for one.
            raise UserError(
                f"cannot lock {folder}: {error.strerror}; give a folder on a file system with locks"
            ) from None
        yield


@contextmanager
def waiting_lock(path: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the file `path`, after whoever holds it now; `UserError` without locks.

    waits: called again and again while another process holds it.
    """
    make_folder(path.parent)
    with writing(path):
        file = path.open("a", encoding="utf-8")
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waits()
                time.sleep(POLL_S)
            except OSError as error:
                raise UserError(
                    f"cannot lock {path}: {error.strerror}; give a folder on a file system with "
                    "locks"
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
