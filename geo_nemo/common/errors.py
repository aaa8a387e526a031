"""Errors of one line: a user's mistake, a failed run, a file system that fails."""


class UserError(Exception):
    """A mistake that the user can mend: bad config, data, path or layout.

    The message is one line: what is wrong, where, and how to mend it. The command line prints it
    without a traceback and exits with code 2.
    """


class StorageError(UserError):
    """A file system that fails for now, such as one of the network: nothing in settings mends it.

    Handled where a `UserError` is; but the exit code is 1, and a job of SLURM starts again.
    """


class RunError(Exception):
    """A failure of a run that is nobody's typing mistake, such as a loss that is not finite.

    The message is one line; the command line prints it and exits with code 1.
    """
