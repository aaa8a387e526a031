"""Stopping in time: at a signal, or before a time limit.

The first signal asks for a clean stop, a later one ends the process at once.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from geo_nemo.config import Health

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# A terminal's Ctrl-C reaches this process and torchrun, which passes it on: one wish, two signals.
SAME_WISH_S = 1.0


class StopRequest:
    """Set by a signal or by the clock, read by the training loop between steps.

    deadline: seconds since the epoch; from then on a stop is requested.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.received: signal.Signals | None = None
        self.deadline = deadline

    def __bool__(self) -> bool:
        return self.received is not None or self._late()

    @property
    def reason(self) -> str:
        """What asked for the stop, in words."""
        if self.received is not None:
            return self.received.name
        return "its time limit" if self._late() else "another rank"

    def _late(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline


def stop_deadline(health: Health, environment: Mapping[str, str] = os.environ) -> float | None:
    """When a run that starts now must stop, in seconds since the epoch; None for never.

    That is `margin_minutes` before `time_limit_minutes` from now, or before the end of the SLURM
    job (SLURM_JOB_END_TIME), whichever comes first.
    """
    limits = []
    if health.time_limit_minutes is not None:
        limits.append(time.time() + 60 * health.time_limit_minutes)
    if environment.get("SLURM_JOB_END_TIME", "").isdigit():
        limits.append(float(environment["SLURM_JOB_END_TIME"]))
    return min(limits) - 60 * health.margin_minutes if limits else None


def announce(received: signal.Signals) -> None:
    """Say on stderr what a first signal does, from within its handler."""
    line = f"\ngeo-nemo: {received.name}: saves after this step and stops; once more ends at once\n"
    os.write(sys.stderr.fileno(), line.encode())  # print may not be called again within itself


def nobody(received: signal.Signals) -> None:
    """Say nothing: another rank does."""


@contextmanager
def stop_on_signal(
    tell: Callable[[signal.Signals], None] = nobody, deadline: float | None = None
) -> Iterator[StopRequest]:
    """Turn the first stop signal into a request; restore the handlers at the end.

    tell: called once, from within the handler, when the request is made.
    deadline: see StopRequest.
    A signal that comes more than `SAME_WISH_S` later raises KeyboardInterrupt.
    """
    request = StopRequest(deadline)
    owner = os.getpid()
    asked_at = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        if os.getpid() != owner:
            return  # a forked process that writes a checkpoint ends by itself
        if request.received is None:
            asked_at = time.monotonic()
            request.received = signal.Signals(number)
            tell(request.received)
        elif time.monotonic() - asked_at > SAME_WISH_S:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
