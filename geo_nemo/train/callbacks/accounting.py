"""What a run has taken and given so far, over all restarts: samples, tokens, GPU-hours, goodput."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch.distributed as dist

from geo_nemo.common.parse import parse_json
from geo_nemo.config.stage_sizes import taken_samples
from geo_nemo.train.callback import ReadsNothing, StepEvent
from geo_nemo.train.setup import Prepared
from geo_nemo.train.stage_steps import StagePlan
from geo_nemo.train.step import ReadLater

SECONDS_PER_HOUR = 3600


class Accounting(ReadsNothing):
    """Counts on every rank alike; part of it is in every checkpoint.

    A session is a process of rank 0, from its start to its last sign of life, on so many GPUs, or
    processes on a CPU. `held` is the sum over sessions of seconds x GPUs: with start-up, waits,
    saves and steps that were lost, without the time between sessions. `kept` is the same of the
    steps that the weights come from, their waits for data included. Goodput is kept / held.

    left_out: the steps that were left out so far. heartbeat: what the session before has left.
    """

    name = "accounting"

    def __init__(
        self, prepared: Prepared, heartbeat: Path, left_out: Callable[[], Collection[int]] = tuple
    ):
        self.prepared = prepared
        self.heartbeat = heartbeat
        self.left_out = left_out
        self.world_size = dist.get_world_size()
        self.started = psutil.Process().create_time()
        self._held_before = 0.0
        self._kept = 0.0
        # By stage; None: a part of it was trained without being counted.
        self._trained: dict[str, int] | None = {}
        self._is_begun = False
        self._late = ReadLater(self._count)

    def state_dict(self) -> dict[str, Any]:
        self._late.flush()
        return {
            # A copy: a checkpoint is written in a thread, while the run goes on.
            "trained_tokens": None if self._trained is None else dict(self._trained),
            "kept_seconds": self._kept,
            "held_seconds": self.held,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; of one that has nothing of it, tokens were not counted."""
        self._late.forget()
        trained = state.get("trained_tokens")
        self._trained = None if trained is None else dict(trained)
        self._kept = float(state.get("kept_seconds", 0.0))
        if not self._is_begun:  # afterwards it is a rewind, and time is not wound back
            self._held_before = float(state.get("held_seconds", 0.0))

    def on_start(self, step: int) -> None:
        if self._is_begun:
            return
        self._is_begun = True
        # A run that goes on elsewhere has only its checkpoint.
        self._held_before = max(self._held_before, _held_at(self.heartbeat))

    def on_step(self, event: StepEvent) -> None:
        self._kept += event.seconds * self.world_size
        self._late.add(event)

    def _count(self, event: StepEvent) -> None:
        if self._trained is not None:
            before = self._trained.get(event.stage.name, 0)
            self._trained[event.stage.name] = before + event.report.trained_tokens

    def on_end(self) -> None: ...

    @property
    def held(self) -> float:
        """GPU-seconds of all sessions so far."""
        return self._held_before + max(time.time() - self.started, 0.0) * self.world_size

    def session(self) -> dict[str, Any]:
        """What the next session must know of this one."""
        return {
            "started": self.started,
            "world_size": self.world_size,
            "held_seconds_before": self._held_before,
        }

    def totals(self, step: int) -> dict[str, Any]:
        """Samples and tokens of the run after `step` steps; keys of a line of the metrics."""
        self._late.flush()
        tokens = {s.name: self._tokens(s, step) for s in self._begun_stages(step)}
        totals = {
            "total_samples": taken_samples(self.prepared.run, step),
            "total_tokens": sum(tokens.values()),
            "tokens_by_stage": tokens,
        }
        if self._trained is not None:
            totals["total_trained_tokens"] = sum(self._trained.values())
            totals["trained_tokens_by_stage"] = dict(self._trained)
        return totals

    def efficiency(self) -> dict[str, float]:
        """GPU-hours held and the part of them that the kept steps took."""
        held = self.held
        return {"gpu_hours": held / SECONDS_PER_HOUR, "goodput": self._kept / held if held else 0.0}

    def _begun_stages(self, step: int) -> list[StagePlan]:
        return [stage for stage in self.prepared.stages if stage.first_step < step]

    def _tokens(self, stage: StagePlan, step: int) -> int:
        """Positions, padding included, of the steps of a stage that were taken."""
        last = min(step, stage.last_step)
        away = sum(stage.first_step <= each < last for each in self.left_out())
        steps = last - stage.first_step - away
        return steps * stage.step_tokens


def _held_at(heartbeat: Path) -> float:
    """GPU-seconds up to the last sign of life of the session before this one."""
    try:
        beat = parse_json(heartbeat.read_bytes())
        lived = max(beat["time"] - beat["started"], 0.0)
        return float(beat["held_seconds_before"] + lived * beat["world_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0  # none, damaged, or of a version that did not tell
