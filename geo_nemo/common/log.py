"""One way to tell what goes on: Python's `logging`, a line each on the error output.

    geo-nemo: run_a: the newest checkpoint is s3://…/step_00000300: it is fetched
    geo-nemo: rank 3: ForkProcess-2: warning: …

Names before a line are those of another rank than the first, and of a worker process; a level is
told from warnings on, and at the level debug always. Rank 0 tells what is worth a line (info), and
other ranks what went wrong. GEO_NEMO_LOG sets one level for all: debug, info, warning or error.
What a command prints as its result, and the line that it fails with, are no log.
"""

import contextlib
import logging
import os
import sys

from geo_nemo.common.errors import UserError
from geo_nemo.common.secrets import masked

VARIABLE = "GEO_NEMO_LOG"
LEVELS = ("debug", "info", "warning", "error", "critical")
_TOP = "geo_nemo"


def logger(name: str) -> logging.Logger:
    """The logger of a module, by its `__name__`."""
    return logging.getLogger(name if name.split(".")[0] == _TOP else f"{_TOP}.{name}")


def check_level(name: str) -> str:
    """A level's name as `LEVELS` has it; `UserError` for another."""
    if name.lower() not in LEVELS:
        raise UserError(f"{VARIABLE}={name} is no level: give one of {', '.join(LEVELS[:-1])}")
    return name.lower()


class Handler(logging.Handler):
    """Writes to the error output as it is now: a progress bar or a test may have put another."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # that nobody reads it is no reason to end
            print(self.format(record), file=sys.stderr, flush=True)


class Formatter(logging.Formatter):
    """`geo-nemo: <who else than rank 0's process>: <level>: <message>`, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        said = ["geo-nemo"]
        if _rank():
            said.append(f"rank {_rank()}")
        if record.processName not in (None, "MainProcess"):
            said.append(str(record.processName))
        if record.levelno != logging.INFO:
            said.append(record.levelname.lower())
        said.append(masked(record.getMessage()))
        line = ": ".join(said)
        told = f"\n{masked(self.formatException(record.exc_info))}" if record.exc_info else ""
        return line + told


def tells(level: str) -> bool:
    """Whether this process tells what is of `level`; a rank is known only after the start."""
    asked = os.environ.get(VARIABLE, "").lower()
    if asked not in LEVELS:  # what is none is refused where that can be a line
        asked = "info" if _rank() == 0 else "error"
    return LEVELS.index(level) >= LEVELS.index(asked)


def _rank() -> int:
    text = os.environ.get("RANK", "")
    return int(text) if text.isdecimal() else 0  # what is no number, geo_nemo.runtime refuses


def _begin() -> None:
    """Give the project's lines their place; whoever has given them another first keeps it."""
    top = logging.getLogger(_TOP)
    if top.handlers:
        return
    handler = Handler()
    handler.setFormatter(Formatter())
    handler.addFilter(lambda record: tells(record.levelname.lower()))
    top.addHandler(handler)
    top.setLevel(logging.DEBUG)
    top.propagate = False


_begin()
