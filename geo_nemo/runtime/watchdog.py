"""Ends a process that no longer gets on, and leaves behind where each of its threads stood.

A rank that hangs in a collective makes every other rank hang: each of them finds out by its own
clock, so that the stacks of all are there, and the launcher sees processes end, not wait.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from geo_nemo.common.files import make_folder, writing

# Ranks pass the same step within moments of each other: so long each waits before it ends, for a
# launcher that sees one process end kills the others, and their stacks would be lost.
GRACE_S = 5.0
# So long the stacks and the telling may take besides: what hangs may be the file system that both
# write to.
WAITS_S = 60.0
# How often it is looked, at most.
TICK_S = 5.0
# When this process cannot run Python any more, faulthandler's own thread ends it after so many
# times the timeout: not sooner, for its clock goes on while a process is stopped.
BACKSTOP = 24
EXIT_HUNG = 1


class Watchdog:
    """Watches from `start` to `stop`; `touch` says that all is well.

    Time in which the process was stopped, by SLURM's suspend or Ctrl-Z, is none in which it hung.

    timeout_s: how long nothing may be heard. stacks: the file that receives the stacks; those of
    an earlier hang stay beside it, as `before_` and its name. tell: is given the line that says so,
    within the time that is left to the other ranks.
    """

    def __init__(
        self,
        timeout_s: float,
        stacks: Path,
        name: str,
        grace_s: float = GRACE_S,
        tell: Callable[[str], None] | None = None,
    ):
        self.timeout_s = timeout_s
        self.stacks = stacks
        self.name = name
        self.grace_s = grace_s
        self._tell = tell
        self._touches = 0
        self._ended = threading.Event()
        self._file = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch. UserError where the file for stacks cannot be made."""
        make_folder(self.stacks.parent)
        with writing(self.stacks):
            # Those of a hang after which a job was started again by itself.
            if self.stacks.exists() and self.stacks.stat().st_size:
                self.stacks.replace(self.stacks.with_name(f"before_{self.stacks.name}"))
            self._file = self.stacks.open("w")
        self.touch()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def touch(self) -> None:
        self._touches += 1
        if self._file is not None:
            faulthandler.dump_traceback_later(BACKSTOP * self.timeout_s, file=self._file, exit=True)

    def stop(self) -> None:
        """End the watch; an empty file of stacks goes."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        if self._file is not None:
            is_empty = not os.fstat(self._file.fileno()).st_size
            self._file.close()
            if is_empty:
                with suppress(OSError):  # somebody has moved it
                    self.stacks.unlink()
            self._file = None

    def _watch(self) -> None:
        tick = min(self.timeout_s / 10, TICK_S)
        silent, heard, before = 0.0, self._touches, time.monotonic()
        while not self._ended.wait(tick):
            now = time.monotonic()
            # A longer gap than a few ticks is one in which nothing of this process ran.
            passed, before = min(now - before, 3 * tick), now
            silent = silent + passed if heard == self._touches else 0.0
            heard = self._touches
            if silent > self.timeout_s:
                self._end(silent)

    def _end(self, silent: float) -> None:
        line = (
            f"geo-nemo: {self.name} made no progress for {silent:.0f} s (health.hang_minutes is "
            f"{self.timeout_s / 60:g}); the stack of each thread is in {self.stacks}\n"
        )
        begun = time.monotonic()
        try:
            os.write(sys.stderr.fileno(), line.encode())
            beside = [_beside(self._keep, line)]
            if self._tell is not None:
                beside.append(_beside(self._tell, line.rstrip()))
            for thread in beside:
                thread.join(max(0.0, begun + WAITS_S - time.monotonic()))
            time.sleep(max(0.0, begun + self.grace_s - time.monotonic()))
        finally:
            os._exit(EXIT_HUNG)

    def _keep(self, line: str) -> None:
        self._file.write(line)
        self._file.flush()
        faulthandler.dump_traceback(self._file, all_threads=True)
        os.fsync(self._file.fileno())


def _beside(work: Callable[[str], None], line: str) -> threading.Thread:
    """`work(line)` in a thread of its own, whatever becomes of it."""

    def tried() -> None:
        with suppress(Exception):
            work(line)

    thread = threading.Thread(target=tried, name="watchdog", daemon=True)
    thread.start()
    return thread
