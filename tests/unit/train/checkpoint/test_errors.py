"""What a failed save says, and whether it is for the user to mend."""

import errno
import os

import pytest

from geo_nemo.train.checkpoint.errors import why_not_saved


@pytest.mark.parametrize(
    ("number", "mendable", "says"),
    [
        (errno.ENOSPC, True, "GB free: mend the disk"),
        (errno.EACCES, True, "Permission denied"),
        (errno.EIO, False, "the file system failed (Input/output error)"),
        (errno.ESTALE, False, "the file system failed (Stale file handle)"),
    ],
)
def test_a_fault_of_the_file_system_is_not_the_user_s(tmp_path, number, mendable, says):
    """The innermost of a chain of errors says it; a job of SLURM starts again where it is false."""
    outer = RuntimeError("a writer failed")
    outer.__cause__ = OSError(number, os.strerror(number))
    told = why_not_saved(outer, tmp_path)
    assert told[0] is mendable
    assert says in told[1]
