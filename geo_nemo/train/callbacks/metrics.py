"""`metrics.jsonl`, a line a logged step, and the same numbers to the loggers."""

import json
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import psutil
import torch
import torch.distributed as dist

from geo_nemo.common.files import writing
from geo_nemo.common.lines import keep_lines
from geo_nemo.config import Run
from geo_nemo.data.batches import Batch
from geo_nemo.data.groups import Grouping, as_keys, mean_by_group
from geo_nemo.model.flops import peak_flops, train_flops
from geo_nemo.train.callback import StepEvent
from geo_nemo.train.callbacks.accounting import Accounting
from geo_nemo.train.callbacks.loggers import Loggers, scalars
from geo_nemo.train.callbacks.times import Times
from geo_nemo.train.engine import Engine

# Keys of a line that are not the same in a run that is made again.
MACHINE_KEYS = ("seconds", "tokens_per_second", "memory_gb", "mfu", "timing")


class Metrics:
    """Writes `metrics.jsonl` on rank 0. After a resume, lines of steps that are taken again go.

    Each line: step (counts from 0), steps_done (step + 1, as checkpoints and loggers count), stage,
    loss (mean nats over the step's trained tokens, by weight), lr, grad_norm, param_norm (of all
    weights), seconds (a step, mean since the last line), tokens_per_second (positions, padding
    included, since the last line), mfu (fraction of the chip's peak; absent where that is unknown),
    memory_gb (most of rank 0's device so far; on a CPU what it holds now), consumed_samples (of the
    stage), trained_tokens (of the step), trained_weight (of these, where a stage weighs them),
    loss_by_country, or by the fields of `groups` (of those that the step saw), what `accounting`
    adds up (`Accounting.totals`), timing (`Times.exchanged` and `Accounting.efficiency`), and,
    where `logging.batch_digest` is on, crc32 of the tokens and masks
    that this rank trained on. Those of `MACHINE_KEYS` tell of the machine; all others are the same
    however often a run was stopped.
    """

    def __init__(
        self,
        path: Path,
        run: Run,
        groups: Grouping,
        vocab_size: int,
        engine: Engine,
        accounting: Accounting | None = None,
        loggers: Loggers | None = None,
    ):
        self.path = path
        self.run = run
        self.groups = groups
        self.vocab_size = vocab_size
        self.engine = engine
        self.accounting = accounting
        self.loggers = loggers or Loggers()
        self.file: TextIO | None = None
        self.peak = _peak(run, engine.device)
        self.times = Times(engine.device)
        self._forget()

    def on_start(self, step: int) -> None:
        self._forget()
        self.times.find_hosts()
        if dist.get_rank() != 0:
            return
        with writing(self.path):
            if self.file is not None:  # after a rewind
                self.file.close()
            keep_lines(self.path, lambda line: line["step"] < step)
            self.file = self.path.open("a", buffering=1)

    def reads(self, step: int) -> bool:
        """Of a step that is logged: each nth one, and the last."""
        done = step + 1
        return done % self.run.logging.every_steps == 0 or done == self.run.train.steps

    def on_step(self, event: StepEvent) -> None:
        self.times.add(event)
        self.positions += event.positions
        if self.peak:
            self.flops += self._flops(event)
        if not self.reads(event.step):
            return
        param_norm = self.engine.parameter_norm()  # every rank has a part of it
        timing = self.times.exchanged()
        if self.file is not None:
            line = self._line(event, param_norm, timing)
            with writing(self.path):
                self.file.write(json.dumps(line) + "\n")
            self.loggers.add(scalars(line))
        self._forget()

    def on_end(self) -> None:
        if self.file is not None:
            # A line that could not be written was reported, and would fail again here.
            with suppress(OSError):
                self.file.close()

    def _forget(self) -> None:
        self.times.restart()
        self.positions = 0
        self.flops = 0.0

    def _flops(self, event: StepEvent) -> float:
        """Operations of this rank's micro-batches, by all ranks that hold the model together."""
        lengths = np.concatenate([np.diff(batch.cu_seqlens) for batch in event.batches])
        positions = sum(batch.tokens.size for batch in event.batches)
        return train_flops(self.run.model, self.vocab_size, positions, lengths)

    def _line(self, event: StepEvent, param_norm: float, timing: dict[str, Any]) -> dict[str, Any]:
        report, seconds = event.report, self.times.seconds
        by_group = mean_by_group(self.groups, report.sums.numpy(), report.weights.numpy())
        line = {
            "step": event.step,
            "steps_done": event.step + 1,
            "stage": event.stage.name,
            "loss": report.loss,
            "lr": report.lr,
            "grad_norm": report.grad_norm,
            "param_norm": param_norm,
            "seconds": seconds / self.times.steps,
            "tokens_per_second": self.positions / seconds,
            "memory_gb": _memory_gb(self.engine.device),
            "consumed_samples": event.consumed_samples,
            "trained_tokens": report.trained_tokens,
            **as_keys(by_group, "loss_by_"),
        }
        if self.run.weighs_tokens:
            line["trained_weight"] = report.trained_weight
        if self.accounting is not None:
            line |= self.accounting.totals(event.step + 1)
            timing |= self.accounting.efficiency()
        line["timing"] = timing
        if self.peak:
            devices = self.run.parallel.model_parallel_size
            line["mfu"] = self.flops / seconds / (self.peak * devices)
        if self.run.logging.batch_digest:
            line["batch_digest"] = digest(event.batches)
        return line


def digest(batches: Sequence[Batch]) -> int:
    """crc32 over everything that the model sees of these micro-batches."""
    value = 0
    for batch in batches:
        for array in (batch.tokens, batch.labels, batch.loss_mask, batch.cu_seqlens):
            value = zlib.crc32(array.tobytes(), value)
    return value


def _peak(run: Run, device: torch.device) -> float | None:
    """Dense peak of one device in operations a second, where it is known."""
    if run.logging.peak_tflops is not None:
        return run.logging.peak_tflops * 1e12
    if device.type != "cuda":
        return None
    return peak_flops(torch.cuda.get_device_name(device), run.precision.dtype)


def _memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return psutil.Process().memory_info().rss / 1e9
