"""A callback from outside: what goes wrong in it names it, in one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from geo_nemo.config import RunError, UserError
from geo_nemo.config.plugins import reason
from geo_nemo.train.callback import StepEvent, Verdict


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
        return self._ask("score", step)

    def state_dict(self) -> dict[str, Any]:
        return self._ask("state_dict") or {}

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

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (UserError, RunError):
            raise
        except Exception as error:  # whatever it does
            raise RunError(
                f"the callback {self.name} fails at step {self._step} ({reason(error)}): mend it "
                "or take it out of callbacks.use; then the same command goes on from the newest "
                "checkpoint"
            ) from error
