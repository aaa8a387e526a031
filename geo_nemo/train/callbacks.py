"""What is told while a run goes on: a progress bar, `metrics.jsonl`, a heartbeat, a watchdog."""

import json
import os
import socket
import time
import zlib
from contextlib import suppress
from pathlib import Path

import torch.distributed as dist

from geo_nemo.config import Logging
from geo_nemo.config.files import write_whole, writing
from geo_nemo.config.progress import Progress
from geo_nemo.runtime.watchdog import Watchdog
from geo_nemo.train.loop import StepEvent


class ProgressBar:
    """Steps done, loss and speed, to whoever watches rank 0."""

    def __init__(self, name: str, steps: int, progress: Progress):
        self.name = name
        self.steps = steps
        self.progress = progress

    def on_start(self, step: int) -> None:
        self.progress(self.name, step, self.steps)

    def on_step(self, event: StepEvent) -> None:
        speed = event.positions / event.seconds
        note = f"{event.stage.name}, loss {event.report.loss:.3f}, {speed:,.0f} tokens/s"
        self.progress(self.name, event.step + 1, self.steps, note)

    def on_end(self) -> None: ...


class Heartbeat:
    """Renews a small file on rank 0, so that a look from outside tells whether the run lives.

    Keys: time (seconds since the epoch), step (the next one), steps, stage, loss, host, pid.
    """

    def __init__(self, path: Path, every_s: float, steps: int):
        self.path = path
        self.every_s = every_s
        self.steps = steps
        self._next = 0.0

    def on_start(self, step: int) -> None:
        if dist.get_rank() == 0:
            self._write(step, stage=None, loss=None)

    def on_step(self, event: StepEvent) -> None:
        if dist.get_rank() == 0 and time.monotonic() >= self._next:
            self._write(event.step + 1, event.stage.name, event.report.loss)

    def on_end(self) -> None: ...

    def _write(self, step: int, stage: str | None, loss: float | None) -> None:
        beat = {
            "time": time.time(),
            "step": step,
            "steps": self.steps,
            "stage": stage,
            "loss": loss,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        write_whole(self.path, json.dumps(beat).encode())
        self._next = time.monotonic() + self.every_s


class Watch:
    """Ends this rank when it hangs, and leaves its stacks in `<output>/stacks/`."""

    def __init__(self, output: Path, minutes: float):
        rank = dist.get_rank()
        stacks = output / "stacks" / f"rank_{rank:05d}.txt"
        self.watchdog = Watchdog(60 * minutes, stacks, f"rank {rank}")

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


class Metrics:
    """Writes `metrics.jsonl` on rank 0. After a resume, lines of steps that are taken again go.

    Each line: step, stage, loss (mean nats over the step's trained tokens), lr, grad_norm,
    tokens_per_second (positions, padding included, since the last line), consumed_samples (of the
    stage), trained_tokens, loss_by_country (countries that the step saw), and, where
    `logging.batch_digest` is on, crc32 of the tokens and masks that this rank trained on.
    """

    def __init__(self, path: Path, logging: Logging, countries: tuple[str, ...], last_step: int):
        self.path = path
        self.logging = logging
        self.countries = countries
        self.last_step = last_step
        self.file = None
        self.positions = 0
        self.seconds = 0.0

    def on_start(self, step: int) -> None:
        if dist.get_rank() != 0:
            return
        with writing(self.path):
            self._keep_steps_below(step)
            self.file = self.path.open("a", buffering=1)

    def on_step(self, event: StepEvent) -> None:
        self.positions += event.positions
        self.seconds += event.seconds
        done = event.step + 1
        if self.file is None or (done % self.logging.every_steps and done != self.last_step):
            return
        with writing(self.path):
            self.file.write(json.dumps(self._line(event)) + "\n")
        self.positions, self.seconds = 0, 0.0

    def on_end(self) -> None:
        if self.file is not None:
            # A line that could not be written was reported, and would fail again here.
            with suppress(OSError):
                self.file.close()

    def _line(self, event: StepEvent) -> dict:
        report = event.report
        by_country = {
            country: total / count
            for country, total, count in zip(
                self.countries, report.sums.tolist(), report.counts.tolist(), strict=True
            )
            if count
        }
        line = {
            "step": event.step,
            "stage": event.stage.name,
            "loss": report.loss,
            "lr": report.lr,
            "grad_norm": report.grad_norm,
            "tokens_per_second": self.positions / self.seconds,
            "consumed_samples": event.consumed_samples,
            "trained_tokens": report.trained_tokens,
            "loss_by_country": by_country,
        }
        if self.logging.batch_digest:
            line["batch_digest"] = digest(event.batches)
        return line

    def _keep_steps_below(self, step: int) -> None:
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_bytes().splitlines():
            try:
                if json.loads(line)["step"] < step:
                    kept.append(line + b"\n")
            except (ValueError, KeyError, TypeError):
                break  # a line that a kill or a loss of power cut off
        write_whole(self.path, b"".join(kept))


def digest(batches) -> int:
    """crc32 over everything that the model sees of these micro-batches."""
    value = 0
    for batch in batches:
        for array in (batch.tokens, batch.labels, batch.loss_mask, batch.cu_seqlens):
            value = zlib.crc32(array.tobytes(), value)
    return value
