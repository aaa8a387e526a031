"""Stopping at a signal: the first asks for a clean stop, a later one ends the process at once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# A terminal's Ctrl-C reaches this process and torchrun, which passes it on: one wish, two signals.
SAME_WISH_S = 1.0


class StopRequest:
    """Set by a signal, read by the training loop between steps."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.received is not None


def _nobody(received: signal.Signals) -> None: ...


@contextmanager
def stop_on_signal(tell: Callable[[signal.Signals], None] = _nobody) -> Iterator[StopRequest]:
    """Turn the first stop signal into a request; restore the handlers at the end.

    tell: called once, from within the handler, when the request is made.
    A signal that comes more than `SAME_WISH_S` later raises KeyboardInterrupt.
    """
    request = StopRequest()
    owner = os.getpid()
    asked_at = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        if os.getpid() != owner:
            return  # a forked process that writes a checkpoint ends by itself
        if not request:
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
