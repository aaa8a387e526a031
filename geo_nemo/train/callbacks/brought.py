"""A callback from outside: what goes wrong in it names it, in one line."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from geo_nemo.config import RunError
from geo_nemo.config.plugins import blaming
from geo_nemo.train.callback import StepEvent, Verdict

_MEND = (
    "mend it or take it out of callbacks.use; then the same command goes on from the newest "
    "checkpoint"
)


class Brought:
    """Holds a callback that a recipe names, and is it to the trainer.

    name: as the recipe has it; a checkpoint keeps its state under this name.
    """

    def __init__(self, name: str, callback: Any):
        self.name = name
        self._callback = callback
        self._step = 0

    def on_start(self, step: int) -> None:
        self._step = step
        with self._named():
            self._callback.on_start(step)

    def on_stage(self, stage: Any) -> None:
        self._ask("on_stage", stage)

    @property
    def judges_loss(self) -> bool:
        return hasattr(self._callback, "on_loss")

    def reads(self, step: int) -> bool:
        return not hasattr(self._callback, "reads") or bool(self._ask("reads", step))

    def on_loss(self, step: int, loss: float) -> Verdict | None:
        self._step = step
        return self._checked(self._ask("on_loss", step, loss), ("skip", "rewind", "stop"))

    def on_step(self, event: StepEvent) -> Verdict | None:
        self._step = event.step
        with self._named():
            verdict = self._callback.on_step(event)
        return self._checked(verdict, ("rewind", "stop"))

    def on_end(self) -> None:
        with self._named():
            self._callback.on_end()

    def score(self, step: int) -> float | None:
        found = self._ask("score", step)
        if found is None:
            return None
        with self._named():
            number = float(found)
            if math.isnan(number):
                raise ValueError("its score is not a number")
        return number

    def state_dict(self) -> dict[str, Any]:
        state = self._ask("state_dict")
        return {} if state is None else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._ask("load_state_dict", state)

    def _ask(self, method: str, *given: Any) -> Any:
        """What a method that need not be there says; None where it is not."""
        if not hasattr(self._callback, method):
            return None
        with self._named():
            return getattr(self._callback, method)(*given)

    def _checked(self, verdict: Any, actions: tuple[str, ...]) -> Verdict | None:
        if verdict is not None and not (isinstance(verdict, Verdict) and verdict.action in actions):
            raise RunError(
                f"the callback {self.name} answers {verdict!r} at step {self._step}: give None, or "
                f"a geo_nemo.train.callback.Verdict of {', '.join(actions)}"
            )
        return verdict

    def _named(self) -> AbstractContextManager[None]:
        return blaming(f"the callback {self.name}, at step {self._step},", _MEND)
