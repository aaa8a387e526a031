"""The one error that a user's mistake raises."""


class UserError(Exception):
    """A mistake that the user can mend: bad config, data, path or layout.

    The message is one line: what is wrong, where, and how to mend it. The command line prints it
    without a traceback and exits with code 2.
    """
