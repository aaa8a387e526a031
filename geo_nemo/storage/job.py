"""A transfer beside other work, in a thread of its own."""

import threading
from collections.abc import Callable

from geo_nemo.common.progress import Progress
from geo_nemo.common.stuck import give_up

# So long work that is given up may take to notice, before it is left to itself.
ABANDONED_S = 1.0


class Job:
    """Work in a thread. error: valid once it does not work any more.

    megabytes: how much is moved, of how much.
    """

    def __init__(self, work: Callable[[Progress, threading.Event], None]):
        self.error: BaseException | None = None
        self.megabytes: tuple[int, int | None] = (0, None)
        self.stop = threading.Event()
        self._work = work
        self._thread = threading.Thread(target=self._run, name="copies", daemon=True)
        self._thread.start()

    @property
    def is_working(self) -> bool:
        return self._thread.is_alive()

    def abandon(self) -> None:
        self.stop.set()
        self._thread.join(ABANDONED_S)
        give_up(self._thread.is_alive)

    def _run(self) -> None:
        try:
            self._work(self._progress, self.stop)
        except BaseException as error:
            self.error = error

    def _progress(self, stage: str, done: int, total: int | None = None, note: str = "") -> None:
        self.megabytes = done // 10**6, None if total is None else total // 10**6
