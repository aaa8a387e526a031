"""Errors of one line: a user's mistake, a failed run, a file system that fails."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


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


@contextmanager
def as_typed(names: Mapping[str, str]) -> Iterator[None]:
    """Name what was typed in errors of code that other commands call by settings; also decorates.

    names: what is typed here, by the settings that it stands for, as `--device ` by `device=`.
    """
    try:
        yield
    except UserError as error:
        text = str(error)
        for setting, option in names.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(setting)}", option, text)
        raise type(error)(text) from None
