"""What was given up and does not end: a process that ends must not wait for it.

A server that takes a connection and never answers holds a request for minutes, and Python waits for
its threads when it ends; NCCL's groups wait for the other processes. SLURM, or whoever sent a
second signal, does not.
"""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

_at_work: list[Callable[[], bool]] = []


def give_up(at_work: Callable[[], bool]) -> None:
    """Note work that nobody waits for any more; `at_work` tells whether it still is."""
    _at_work.append(at_work)


def end_process(status: int) -> NoReturn:
    """End with `status`; at once, without Python's clean-up, where given-up work is under way."""
    if any(each() for each in _at_work):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
