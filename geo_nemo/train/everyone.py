"""All callbacks of a run as one: told of what happens, and asked what they keep and want."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geo_nemo.config import RunError, UserError
from geo_nemo.train.bad_steps import BadStepRule
from geo_nemo.train.callback import Callback, Scoring, Stateful, StepEvent, Verdict
from geo_nemo.train.checkpoint.errors import everywhere
from geo_nemo.train.stage_steps import StagePlan
from geo_nemo.train.step import BadStepError


class Everyone:
    """The callbacks in their order."""

    def __init__(self, callbacks: Sequence[Callback]):
        self._callbacks = callbacks

    @property
    def judges_loss(self) -> bool:
        """Whether one of them must see a step's loss before the weights change."""
        return any(
            hasattr(each, "on_loss") and getattr(each, "judges_loss", True)
            for each in self._callbacks
        )

    def reads(self, step: int) -> bool:
        """Whether one of them needs the numbers of `step` as soon as it is taken."""
        return any(not hasattr(each, "reads") or each.reads(step) for each in self._callbacks)

    def on_start(self, step: int) -> None:
        for each in self._callbacks:
            each.on_start(step)

    def on_stage(self, stage: StagePlan) -> None:
        for each in self._callbacks:
            if hasattr(each, "on_stage"):
                each.on_stage(stage)

    def on_loss(self, loss: float, step: int) -> None:
        """Raise BadStepError where one of them, on any rank, does not want the step taken.

        Ranks that took it and ranks that did not would mix up what they tell each other next. So
        they ask each other, unless the rule for bad steps alone judges, which all know alike.
        """
        verdicts, asks = [], False
        for each in self._callbacks:
            if hasattr(each, "on_loss"):
                verdicts.append(each.on_loss(step, loss))
                asks |= getattr(each, "judges_loss", True) and not isinstance(each, BadStepRule)
        verdict = strongest(verdicts)
        if asks:
            verdict = strongest(everywhere(verdict))
        if verdict is not None:
            raise BadStepError(verdict.reason, verdict)

    def on_step(self, event: StepEvent) -> Verdict | None:
        """What the strongest of them wants after the step."""
        verdicts = []
        for each in self._callbacks:
            verdict = each.on_step(event)
            if verdict is not None and hasattr(each, "reads") and not each.reads(event.step):
                name = getattr(each, "name", type(each).__name__)
                raise RunError(
                    f"the callback {name} answers {verdict!r} at step {event.step}, where its "
                    "method reads says False: let it say True there"
                )
            verdicts.append(verdict)
        return strongest(verdicts)

    def on_end(self) -> None:
        """Tell everyone, whatever one of them raises; what ended the run comes before that."""
        failed = []
        for each in self._callbacks:
            try:
                each.on_end()
            except Exception as error:
                failed.append(error)
        if failed and sys.exception() is None:
            raise failed[0]

    def score(self, step: int) -> float | None:
        """Of the first that measured after `step` steps."""
        scores = (each.score(step) for each in self._callbacks if isinstance(each, Scoring))
        return next((score for score in scores if score is not None), None)

    def stateful(self) -> dict[str, Stateful]:
        """Those of which checkpoints keep something; `UserError` where two have one name."""
        found: dict[str, Stateful] = {}
        for each in self._callbacks:
            if isinstance(each, Stateful):
                if each.name in found:
                    raise UserError(f"two callbacks are named {each.name}: give one another name")
                found[each.name] = each
        return found

    def states(self) -> dict[str, dict[str, Any]]:
        """What a checkpoint keeps of each, by name. RunError where that is not JSON."""
        states = {name: each.state_dict() for name, each in self.stateful().items()}
        for name, state in states.items():
            if wrong := _not_json(state) if isinstance(state, dict) else _a(state):
                raise RunError(
                    f"the callback {name} keeps {wrong}: let its state_dict give a dict of JSON's "
                    "types (text, numbers, truth values, None, lists, dicts whose keys are text)"
                )
        return states

    def load_states(self, states: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Let each go on from its state; the names of states that are nobody's."""
        known = self.stateful()
        for name, each in known.items():
            each.load_state_dict(states.get(name, {}))
        return sorted(name for name, state in states.items() if state and name not in known)


def strongest(verdicts: Sequence[Verdict | None]) -> Verdict | None:
    """A rewind before a stop; the first of its kind."""
    asked = [verdict for verdict in verdicts if verdict is not None]
    return next((each for each in asked if each.action == "rewind"), asked[0] if asked else None)


def _not_json(value: Any) -> str:
    """What in `value` is not of JSON's types, in words; empty: nothing."""
    parts: Iterable[Any]
    if isinstance(value, dict):
        if (key := next((key for key in value if not isinstance(key, str)), "")) != "":
            return f"a dict with the key {key!r}"
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    else:
        return "" if value is None or isinstance(value, str | int | float) else _a(value)
    try:
        return next(filter(None, map(_not_json, parts)), "")
    except RecursionError:
        return f"{_a(value)} that holds itself"


def _a(value: Any) -> str:
    return f"a {type(value).__name__}"
