"""What a run tells its callbacks, what they may answer, and what a checkpoint keeps of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from geo_nemo.data.batches import Batch
from geo_nemo.train.stages import StagePlan

if TYPE_CHECKING:
    from geo_nemo.train.engine import StepReport


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
    report: "StepReport"
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


class Callback(Protocol):
    """Watches a run on every rank; owns its state.

    Two more methods may be there. `on_stage(stage)`: its first step comes next. `on_loss(step,
    loss)`: of the global batch, before the weights change; may return a verdict, the same on every
    rank.
    """

    def on_start(self, step: int) -> None:
        """Before the first step of this process, and after a rewind; `step` comes next."""

    def on_step(self, event: StepEvent) -> Verdict | None:
        """After each step that is taken. One rank's verdict, rewind or stop, is every rank's."""

    def on_end(self) -> None:
        """After the last step of this process, also when it ends by an error."""


@runtime_checkable
class Stateful(Protocol):
    """A callback of which checkpoints keep something, in JSON, under its name."""

    name: str

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, a copy; rank 0's is written."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it, also after a rewind; empty where a checkpoint has nothing of it."""


@runtime_checkable
class Scoring(Protocol):
    """A callback that measures how good the weights are; the best checkpoints stay."""

    def score(self, step: int) -> float | None:
        """Lower is better; None: not measured after `step` steps."""
