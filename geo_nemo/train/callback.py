"""What a run tells its callbacks, what they may answer, and what a checkpoint keeps of them."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from geo_nemo.train.step import StepEvent, Verdict

__all__ = ["Callback", "ReadsNothing", "Scoring", "Stateful", "StepEvent", "Verdict"]


class Callback(Protocol):
    """Watches a run on every rank; owns its state.

    Three more methods may be there. `on_stage(stage)`: its first step comes next. `on_loss(step,
    loss)`: of the global batch, before the weights change; may return a verdict, and that of one
    rank is every rank's. `reads(step)`: whether `on_step` reads the step's report, or may answer
    with a verdict; the same on every rank. Where all say no, the host does not wait for the device;
    without the method, and with `on_loss`, it waits after each step.
    """

    def on_start(self, step: int) -> None:
        """Before the first step of this process, and after a rewind; `step` comes next."""

    def on_step(self, event: StepEvent) -> Verdict | None:
        """After each step that is taken. One rank's verdict, rewind or stop, is every rank's."""

    def on_end(self) -> None:
        """After the last step of this process, also when it ends by an error."""


class ReadsNothing:
    """Of a callback that needs no number of a step before the next one is taken."""

    def reads(self, step: int) -> bool:
        return False


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
