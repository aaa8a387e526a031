"""Exit codes of `geo-nemo`, besides 0."""

FAILED = 1
MISTAKE = 2  # the user's, said in one line
# A run that was asked to stop, and saved: the launcher may start it again (EX_TEMPFAIL).
STOPPED = 75
