"""A step as others see it: what it reported, why it was not taken, what a callback wants of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, get_args

import torch

from geo_nemo.config import RunError
from geo_nemo.data.batches import Batch
from geo_nemo.train.arriving import Arriving
from geo_nemo.train.stage_steps import StagePlan


class Check(Protocol):
    """Raises BadStepError, on every rank alike, where a step's numbers are not finite."""

    def check_loss(self, loss: float) -> None: ...

    def check_norm(self, norm: float) -> None: ...


class StepReport:
    """What one optimizer step saw, equal on every rank; whoever reads it waits for the device.

    A step later that takes no wait: three numbers of each step go to the host meanwhile, and the
    sums by group stay on the device until they are asked for.

    lr: the learning rate that the step was taken with.
    """

    def __init__(
        self,
        totals: torch.Tensor,
        squared_norm: torch.Tensor,
        lr: float,
        work: Callable[[], float],
        check: Check,
    ):
        """totals: nats, weighted, the weights and the number of trained tokens by group, float64
            [3, num_groups], on the device.

        squared_norm: of the gradients, [], on the device. work: see `work_seconds`.
        """
        self.lr = lr
        self._totals = totals
        self._arriving = Arriving(torch.stack([*totals.sum(dim=1), squared_norm]))
        self._work = work
        self._check: Check | None = check

    def settle(self) -> None:
        """Raise BadStepError where the numbers are not finite; every rank calls it, and waits."""
        if self._check is not None:
            self._check.check_loss(self.loss)
            self._check.check_norm(self.grad_norm)
            self._check = None  # holds the batch

    @cached_property
    def _numbers(self) -> list[float]:
        return self._arriving.numbers()

    @property
    def loss(self) -> float:
        """Mean nats over the trained tokens of the global batch, by weight; 0 without any."""
        nats, weight, *_ = self._numbers
        return nats / weight if weight else 0.0

    @property
    def trained_weight(self) -> float:
        """Weight of the trained tokens of the global batch; their number where each weighs 1."""
        return self._numbers[1]

    @property
    def trained_tokens(self) -> int:
        """Trained tokens of the global batch."""
        return int(self._numbers[2])

    @property
    def grad_norm(self) -> float:
        """L2 norm of the gradients before clipping."""
        return self._numbers[3] ** 0.5

    @cached_property
    def _by_group(self) -> torch.Tensor:
        return self._totals.cpu()

    @property
    def sums(self) -> torch.Tensor:
        """Nats by group, weighted, float64 [num_groups], on the CPU."""
        return self._by_group[0]

    @property
    def weights(self) -> torch.Tensor:
        """Weight of the trained tokens by group, float64 [num_groups], on the CPU."""
        return self._by_group[1]

    @property
    def counts(self) -> torch.Tensor:
        """Trained tokens by group, float64 [num_groups], on the CPU."""
        return self._by_group[2]

    @property
    def work_seconds(self) -> float:
        """Of this rank, see geo_nemo.train.step_clock."""
        return self._work()


@dataclass(frozen=True, slots=True)
class StepEvent:
    """An optimizer step, as callbacks see it; the device may still be at work on it.

    step: counts from 0. batches: this rank's micro-batches. consumed_samples: of the stage so far.
    positions: tokens of the global batch, padding included. seconds: of the step and its wait for
    data, and of that wait, data_seconds. checkpoint_seconds: that training stood still for saves
    since the step before. latest_loss: of the newest step whose numbers are on the host.
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
    latest_loss: float | None = None


class ReadLater:
    """Hands each event to `read` when the next one comes, and the host need not wait for it."""

    def __init__(self, read: Callable[[StepEvent], None]):
        self._read = read
        self._event: StepEvent | None = None

    def add(self, event: StepEvent) -> None:
        """`event` comes after the one before it, which is read now."""
        self.flush()
        self._event = event

    def flush(self) -> None:
        """Read the last one, too."""
        event, self._event = self._event, None
        if event is not None:
            self._read(event)

    def forget(self) -> None:
        """The last one is not to be read."""
        self._event = None


VerdictAction = Literal["skip", "rewind", "stop"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a callback wants of the run; None in its place: go on.

    skip: the step is not taken, and its batch is left out. rewind: back to the newest checkpoint,
    and the step's batch, with the steps of `left_out`, is left out when it comes again. stop:
    before a step is taken the run fails; after it, it saves and ends. reason: in words, kept on one
    line. ValueError for another action, no reason, or a step that is no number.
    """

    action: VerdictAction
    reason: str
    left_out: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.action not in get_args(VerdictAction):
            raise ValueError(f"a verdict of {self.action!r}, not of skip, rewind or stop")
        # A stop without a reason would pass for another rank's, and be started again for ever.
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ValueError(f"a verdict with the reason {self.reason!r}: say why in words")
        steps = tuple(self.left_out)
        if any(type(step) is not int or step < 0 for step in steps):
            raise ValueError(f"a verdict that leaves out {steps!r}: steps are whole numbers from 0")
        object.__setattr__(self, "reason", " ".join(self.reason.split()))
        object.__setattr__(self, "left_out", steps)


class BadStepError(RunError):
    """A step that was not taken: weights, optimizer and clock are as before it.

    verdict: of the callback that refused it; None: the run's own policy decides.
    """

    def __init__(self, message: str, verdict: Verdict | None = None):
        super().__init__(message)
        self.verdict = verdict
