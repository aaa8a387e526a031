"""The callback that hands every logged step to every logger."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geo_nemo.train.callback import ReadsNothing, StepEvent
from geo_nemo.train.callbacks.loggers.background import Background
from geo_nemo.train.callbacks.loggers.logger import Outcome
from geo_nemo.train.callbacks.loggers.values import renamed
from geo_nemo.train.checkpoint.errors import rank_zero_does


class Loggers(ReadsNothing):
    """Takes what other callbacks measured at a step, and hands it over once they all have.

    It stands behind them. loggers: of rank 0; none elsewhere. names: see `Logging.names`.
    must_open: a logger that does not open ends the run; that is for a first start, where somebody
    looks on. outcome: how the run ends, asked for at its end.
    """

    def __init__(
        self,
        loggers: Sequence[Background] = (),
        names: str = "own",
        must_open: bool = True,
        outcome: Callable[[], Outcome] = lambda: "finished",
    ):
        self.loggers = loggers
        self.names = names
        self.must_open = must_open
        self.outcome = outcome
        self._values: dict[str, float] = {}
        self._owners: dict[str, str] = {}

    def add(self, values: Mapping[str, float]) -> None:
        """Numbers of the step that was just taken, by their flat names."""
        self._owners |= dict.fromkeys(values, "the run")
        self._values |= values

    def add_for(self, callback: str, values: Mapping[str, Any]) -> None:
        """The same of a callback that a recipe names. ValueError or TypeError where a value is no
        number, or its name the run's own or another callback's: one would hide the other."""
        for name, value in values.items():
            if not isinstance(name, str) or isinstance(value, str):
                raise TypeError(f"it logs {name!r}={value!r:.40}: give a number by a name")
            owner = self._owners.setdefault(name, callback)
            if owner != callback:
                raise ValueError(f"it logs {name}, which is a number of {owner}: rename it")
            self._values[name] = value if isinstance(value, int) else float(value)

    def on_start(self, step: int) -> None:
        self._values = {}
        with rank_zero_does("cannot open the loggers") as mine:
            for logger in self.loggers if mine else ():
                logger.start(step, self.must_open)
        self.must_open = False

    def on_step(self, event: StepEvent) -> None:
        if not self._values:
            return
        step = event.step + 1
        values, self._values = renamed(self._values, self.names, step), {}
        for logger in self.loggers:
            logger.write(step, dict(values))  # its own, which it may change

    def on_end(self) -> None:
        for logger in self.loggers:
            logger.close(self.outcome())
        for logger in self.loggers:
            logger.join()
