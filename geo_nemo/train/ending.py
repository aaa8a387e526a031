"""How a run's process ended: kept in the run's folder, and told to whom `notify` names.

Rank 0 does it, from when it holds the folder until it lets go. `end.json` is there from the end of
one process to the beginning of the next: where it is missing and nothing runs, the process was
killed. Needs no torch.
"""

import json
import math
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from geo_nemo.common.files import write_whole
from geo_nemo.common.log import logger
from geo_nemo.common.parse import parse_json
from geo_nemo.common.secrets import masked
from geo_nemo.config import Run, RunError, UserError
from geo_nemo.config.notify import Event
from geo_nemo.runtime.launcher import rank
from geo_nemo.runtime.notify import check_notify, send

LOG = logger(__name__)

NAME = "end.json"
_LONGEST = 500


class Ending:
    """A context around a run's process, and one of its callbacks.

    finished: set by whom the trainer tells that the last step is taken. reason: of a stop that
    came from outside. asked: why a callback ended the run.
    """

    def __init__(self, run: Run):
        self.run = run
        self._is_first = rank() == 0
        if self._is_first:
            check_notify(run.notify)
        self.finished = False
        self.reason = "another rank"
        self.asked = ""
        self._step: int | None = None
        self._stage: str | None = None
        self._loss: float | None = None
        self._told = False

    def __enter__(self) -> Self:
        if self._is_first:
            with suppress(OSError):
                (Path(self.run.output_dir) / NAME).unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self.finished:
            self.tell("finished", "")
        elif error is None and self.asked:
            self.tell("stopped", f"saved: {self.asked}")
        elif error is None:
            self.tell("stopped", f"by {self.reason}; saved, the same command goes on from there")
        elif isinstance(error, KeyboardInterrupt):
            self.tell("stopped", "interrupted before it had saved")
        elif isinstance(error, UserError | RunError):
            self.tell("failed", str(error))
        else:
            self.tell("failed", f"{type(error).__name__}: {error}")

    def on_start(self, step: int) -> None:
        self._step = step

    def reads(self, step: int) -> bool:
        return False

    def on_step(self, event: Any) -> None:
        self._step = event.step + 1
        self._stage = event.stage.name
        self._loss = event.latest_loss

    def on_end(self) -> None: ...

    def hung(self, line: str) -> None:
        """The watchdog is about to end the process."""
        self.tell("failed", line.removeprefix("geo-nemo: "))

    def tell(self, event: Event, why: str) -> None:
        """Keep what happened, and tell it; the first time alone. Raises nothing."""
        if self._told or not self._is_first:
            return
        self._told = True
        run = self.run
        message = end_message(
            run.name,
            run.output_dir,
            event,
            why,
            step=self._step,
            steps=run.train.steps,
            stage=self._stage,
            loss=self._loss,
        )
        asked = self.run.notify.is_asked_for and event in self.run.notify.on
        problems = send(self.run.notify, message) if asked else []
        for problem in problems:
            LOG.warning(problem)
        with suppress(UserError):  # a full disk, which is what most likely ended the run
            keep_end(Path(self.run.output_dir), message, told=asked and not problems)


def end_message(
    name: str,
    output_dir: str,
    event: str,
    why: str,
    *,
    step: int | None = None,
    steps: int | None = None,
    stage: str | None = None,
    loss: float | None = None,
) -> dict[str, Any]:
    """What is told, as JSON: `text` is the whole in a line, as Slack shows it.

    step: steps that are done, of `steps`. What is None is not known.
    """
    why = masked(" ".join(why.split()))[:_LONGEST]  # the words of a library may hold an address
    of = "" if steps is None else f" of {steps:,}"
    at = "" if step is None else f" at step {step:,}{of}"
    finite = loss is not None and math.isfinite(loss)
    return {
        "text": f"geo-nemo: {name} {event}{at}{f': {why}' if why else ''}",
        "event": event,
        "run": name,
        "output_dir": os.path.abspath(output_dir),
        "why": why,
        "step": step,
        "steps": steps,
        "stage": stage,
        "loss": loss if finite else None,  # JSON has no other
        "time": time.time(),
        "host": socket.gethostname(),
        "job": os.environ.get("SLURM_JOB_ID"),
    }


def keep_end(output: Path, message: Mapping[str, Any], told: bool) -> None:
    """Write `end.json`; told: whoever was to be told was."""
    write_whole(output / NAME, json.dumps({**message, "told": told}, indent=1).encode())


def has_told(output: Path) -> bool:
    """Whether the last process in `output` told of its end: it was asked to, and could."""
    try:
        return parse_json((output / NAME).read_bytes())["told"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False
