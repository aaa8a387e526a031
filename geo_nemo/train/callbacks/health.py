"""Signs of life for whoever looks from outside, and an end for a process that shows none."""

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch.distributed as dist

from geo_nemo.common.files import write_whole
from geo_nemo.common.log import logger
from geo_nemo.common.progress import Progress
from geo_nemo.config import UserError
from geo_nemo.runtime.launcher import pid_namespace
from geo_nemo.runtime.watchdog import Watchdog
from geo_nemo.train.callback import ReadsNothing, StepEvent
from geo_nemo.train.callbacks.accounting import Accounting

LOG = logger(__name__)


class Heartbeat(ReadsNothing):
    """Renews a small file on rank 0, so that a look from outside tells whether the run lives.

    Keys: time (seconds since the epoch), step (the next one, counted from 0: as many are done),
    steps, stage, loss, host, pid, pid_namespace, and `Accounting.session`, from which the next
    session adds up what this one held.
    """

    def __init__(
        self, path: Path, every_s: float, steps: int, accounting: Accounting | None = None
    ):
        self.path = path
        self.every_s = every_s
        self.steps = steps
        self.accounting = accounting
        self._next = 0.0
        self._is_unseen = False
        self._newest: dict[str, Any] = {}  # of rank 0, once the run has begun

    def on_start(self, step: int) -> None:
        if dist.get_rank() == 0:
            self._newest = {"step": step, "steps": self.steps, "stage": None, "loss": None}
            self._write()

    def on_step(self, event: StepEvent) -> None:
        if dist.get_rank() == 0:
            self._newest = {
                "step": event.step + 1,
                "steps": self.steps,
                "stage": event.stage.name,
                "loss": event.latest_loss,
            }
            if time.monotonic() >= self._next:
                self._try_to_write()

    def on_end(self) -> None:
        if self._newest:
            with suppress(UserError):  # what ended the run is what to tell
                self._write()

    def _try_to_write(self) -> None:
        """That nobody sees the run live is no reason to end it: a file system may answer again."""
        try:
            self._write()
        except UserError as error:
            if not self._is_unseen:
                LOG.warning(f"{error}; the run goes on, and looks silent to geo-nemo status")
            self._is_unseen = True
            self._next = time.monotonic() + self.every_s
        else:
            self._is_unseen = False

    def _write(self) -> None:
        process = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "pid_namespace": pid_namespace(),
        }
        session = self.accounting.session() if self.accounting is not None else {}
        beat = {"time": time.time(), **self._newest, **process, **session}
        write_whole(self.path, json.dumps(beat).encode())
        self._next = time.monotonic() + self.every_s


class Watch(ReadsNothing):
    """Ends this rank when it hangs, and leaves its stacks in `<output>/stacks/`.

    tell: receives the line that says so, before the end.
    """

    def __init__(self, output: Path, minutes: float, tell: Callable[[str], None] | None = None):
        rank = dist.get_rank()
        stacks = output / "stacks" / f"rank_{rank:05d}.txt"
        self.watchdog = Watchdog(60 * minutes, stacks, f"rank {rank}", tell=tell)

    def through(self, progress: Progress) -> Progress:
        """`progress`, heard by the watchdog: what tells how far it is does not hang."""

        def told(stage: str, done: int, total: int | None = None, note: str = "") -> None:
            self.watchdog.touch()
            progress(stage, done, total, note)

        return told

    def __enter__(self) -> "Watch":
        self.watchdog.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.watchdog.stop()

    def on_start(self, step: int) -> None:
        self.watchdog.touch()

    def on_step(self, event: StepEvent) -> None:
        self.watchdog.touch()

    def on_end(self) -> None: ...
