"""What a failed save or load says: one line, and the same one on every rank."""

import errno
import pickle
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist
from torch.distributed.checkpoint import CheckpointException

from geo_nemo.common.errors import StorageError
from geo_nemo.common.files import fault_of
from geo_nemo.config import RunError, UserError

# What a failed save or load raises; torch's own is no Exception.
FAILURES = (Exception, CheckpointException)
Value = TypeVar("Value")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def everywhere(value: Value) -> list[Value]:
    """The values of all ranks, on each of them."""
    values: list[Value] = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def on_rank_zero(value: Value) -> list[Value] | None:
    """The values of all ranks, on rank 0; None elsewhere."""
    first = [value] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(value, first)
    return first


@contextmanager
def rank_zero_does(failure: str) -> Iterator[bool]:
    """Run the block's work on rank 0; where it fails there, every rank raises the same error.

    failure: what could not be done, before a reason of the system's.
    """
    kind: type[UserError] = UserError
    problem = ""
    try:
        yield dist.get_rank() == 0
    except OSError as error:
        fault = fault_of(error)
        kind = StorageError if fault else UserError
        problem = f"{failure}: {fault or error.strerror or error}"
    except UserError as error:
        kind = StorageError if isinstance(error, StorageError) else UserError
        problem = str(error)
    shared: list[tuple[type[UserError], str]] = [(kind, problem)]
    dist.broadcast_object_list(shared, src=0)
    kind, problem = shared[0]
    if problem:
        raise kind(problem)


def raise_first(error: BaseException | None, final: Path, partial: Path) -> None:
    """Where any rank has an error, raise the first rank's on all; `partial` goes.

    Every rank calls it, once it has stopped to write.
    """
    told = everywhere(None if error is None else why_not_saved(error, final.parent))
    first = next((reason for reason in told if reason), None)
    if first is None:
        return
    if dist.get_rank() == 0:
        shutil.rmtree(partial, ignore_errors=True)
    mendable, reason = first
    kind = UserError if mendable else RunError
    raise kind(f"cannot write the checkpoint {final}: {reason}") from error


def why_not_saved(error: BaseException, directory: Path) -> tuple[bool, str]:
    """Whether the user can mend what made a save fail, and the reason."""
    root = _root(error)
    if not isinstance(root, OSError) or not root.strerror:
        return isinstance(root, OSError), root_cause(error)
    if fault := fault_of(root):
        return False, fault
    if root.errno not in _NO_ROOM:
        return True, root.strerror
    free = shutil.disk_usage(directory).free / 1e9
    return True, (
        f"{root.strerror}, with {free:.1f} GB free: mend the disk, quota or limit on file sizes"
    )


def root_cause(error: BaseException) -> str:
    """The message of the innermost of a chain of exceptions, on one line."""
    root = _root(error)
    if isinstance(root, pickle.UnpicklingError):  # torch's text tells how to load it all the same
        named = re.search(r"GLOBAL (\S+)", str(root))
        return "an entry is cut off" if not named else f"an entry holds {named[1]}, not weights"
    if not str(root):
        return f"a file is cut off ({type(root).__name__})"
    return " ".join(f"{type(root).__name__}: {root}".split())[:300]


def _root(error: BaseException) -> BaseException:
    """The innermost of a chain of exceptions; of several ranks', the first rank's."""
    while True:
        if isinstance(error, CheckpointException) and error.failures:
            error = error.failures[min(error.failures)][0]
        elif (before := error.__cause__ or error.__context__) is not None:
            error = before
        else:
            return error
