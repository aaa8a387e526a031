"""A step as others see it: what it reported, why it was not taken, what a callback wants of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from geo_nemo.config import RunError
from geo_nemo.data.batches import Batch
from geo_nemo.train.stage_steps import StagePlan


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimizer step saw, equal on every rank.

    loss: mean nats over the trained tokens of the global batch.
    sums, counts: nats and trained tokens by group, [num_groups], float64, on the CPU.
    work_seconds: of this rank, see geo_nemo.train.step_clock.
    """

    loss: float
    trained_tokens: int
    grad_norm: float
    lr: float
    sums: torch.Tensor = field(repr=False)
    counts: torch.Tensor = field(repr=False)
    work_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A finished optimizer step, as callbacks see it.

    step: counts from 0. batches: this rank's micro-batches. consumed_samples: of the stage so far.
    positions: tokens of the global batch, padding included. seconds: of the step and its wait for
    data, and of that wait, data_seconds. checkpoint_seconds: that training stood still for saves
    since the step before.
    """

    step: int
    stage: StagePlan
    report: StepReport
    batches: Sequence[Batch]
    seconds: float
    consumed_samples: int
    positions: int
    data_seconds: float = 0.0
    checkpoint_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a callback wants of the run; None in its place: go on.

    skip: the step is not taken, and its batch is left out. rewind: back to the newest checkpoint,
    and the step's batch, with the steps of `left_out`, is left out when it comes again. stop:
    before a step is taken the run fails; after it, it saves and ends. reason: in words.
    """

    action: Literal["skip", "rewind", "stop"]
    reason: str
    left_out: tuple[int, ...] = ()


class BadStepError(RunError):
    """A step that was not taken: weights, optimizer and clock are as before it.

    verdict: of the callback that refused it; None: the run's own policy decides.
    """

    def __init__(self, message: str, verdict: Verdict | None = None):
        super().__init__(message)
        self.verdict = verdict
