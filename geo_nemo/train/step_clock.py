"""How long a rank works on a step before the ranks exchange gradients, and so wait for each other.

After that exchange every rank is as late as the slowest, so that the time of a whole step does not
tell which one was.
"""

import time
from collections.abc import Callable
from typing import Any

import torch


class StepClock:
    """From the start of a step to its first exchange: on a GPU by events, which nothing waits for.

    Of a rank, or of ranks that hold the model together: within a step those wait for each other all
    along.
    """

    def __init__(self, device: torch.device):
        self._now = _on_gpu if device.type == "cuda" else _on_cpu
        self._begin = self._end = self._now()

    def start(self) -> None:
        """The step's work begins."""
        self._begin = self._end = self._now()

    def before(self, exchange: Callable[..., None]) -> Callable[..., None]:
        """`exchange`, before which the clock stops."""

        def stopped(*args: Any, **kwargs: Any) -> None:
            self._end = self._now()
            exchange(*args, **kwargs)

        return stopped

    def reading(self) -> Callable[[], float]:
        """Tells the seconds of the step that was timed last; on a GPU once its loss was read."""
        begin, end = self._begin, self._end
        if isinstance(begin, float):
            return lambda: end - begin
        return lambda: begin.elapsed_time(end) / 1000


def _on_cpu() -> float:
    return time.perf_counter()


def _on_gpu() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
