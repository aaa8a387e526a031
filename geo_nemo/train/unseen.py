"""The newest step, whose numbers are still on the way from the device."""

from collections.abc import Sequence
from typing import NamedTuple

from geo_nemo.data.batches import Batch
from geo_nemo.train.bad_steps import BadStep, BadStepRule
from geo_nemo.train.step import BadStepError, StepReport


class Taken(NamedTuple):
    """A step that was taken, and that nobody has looked at."""

    step: int
    stage: str
    batches: Sequence[Batch]
    report: StepReport


class Unseen:
    """Holds one step until it is looked at. latest_loss: of the newest one that was."""

    def __init__(self, bad: BadStepRule):
        self.latest_loss: float | None = None
        self._bad = bad
        self._taken: Taken | None = None

    def hold(self, step: int, stage: str, batches: Sequence[Batch], report: StepReport) -> None:
        """The step that was taken; the one before has been looked at."""
        self._taken = Taken(step, stage, batches, report)

    def drop(self) -> None:
        """The run goes back behind the step."""
        self._taken = None

    def look(self) -> None:
        """Wait for the step's numbers; the run ends where they are not finite."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        try:
            taken.report.settle()
        except BadStepError as error:
            self._bad.judge(BadStep(taken.step, taken.stage, taken.batches, error))
            raise
        self.latest_loss = taken.report.loss
