"""Another process of the run has ended: what gloo raises then, in a line. Needs no torch."""

from collections.abc import Iterator
from contextlib import contextmanager

from geo_nemo.common.errors import RunError

_GONE = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused")


class LostRankError(RunError):
    """A process could not go on without another, which has said why it ended."""


@contextmanager
def lost_ranks_in_a_line() -> Iterator[None]:
    """Raise LostRankError for an error of the network that says that another process is gone.

    With NCCL none comes: a rank waits, and the launcher ends it with the one that failed.
    """
    try:
        yield
    except RuntimeError as error:  # torch's DistBackendError is one
        if not any(sign in str(error) for sign in _GONE):
            raise
        raise LostRankError(
            "another process of the run has ended, and its last line says why; mend that, then the "
            "same command goes on from the newest checkpoint"
        ) from error
