"""Exit codes of `geo-nemo`, besides 0."""

from geo_nemo.common.errors import RunError, StorageError, UserError

FAILED = 1
MISTAKE = 2  # the user's, said in one line
INTERRUPTED = 130  # by a terminal, as shells tell it
# A run that was asked to stop, and saved: the launcher may start it again (EX_TEMPFAIL).
STOPPED = 75


def code_of(error: UserError | RunError) -> int:
    """Of a command that ends with this error."""
    is_mistake = isinstance(error, UserError) and not isinstance(error, StorageError)
    return MISTAKE if is_mistake else FAILED
