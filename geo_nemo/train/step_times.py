"""How long a step takes on the host: its data, all of it, and the saves between it and the next."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepTimes:
    """Of the step under way, in seconds. data: that it waited for its micro-batches."""

    def __init__(self) -> None:
        self.data = 0.0
        self._saves = 0.0
        self._begin = time.perf_counter()

    @contextmanager
    def of_data(self) -> Iterator[None]:
        """The step begins with these."""
        self._begin = time.perf_counter()
        yield
        self.data = self.so_far()

    def so_far(self) -> float:
        """Since the step began."""
        return time.perf_counter() - self._begin

    @contextmanager
    def of_saves(self) -> Iterator[None]:
        """Training stands still meanwhile."""
        begin = time.perf_counter()
        yield
        self._saves += time.perf_counter() - begin

    def take_saves(self) -> float:
        """Of the saves since this was asked last."""
        seconds, self._saves = self._saves, 0.0
        return seconds
