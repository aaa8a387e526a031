"""The callback that hands every logged step to every logger."""

from collections.abc import Callable, Mapping, Sequence

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

    def add(self, values: Mapping[str, float]) -> None:
        """Numbers of the step that was just taken, by their flat names."""
        self._values |= values

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
            logger.write(step, values)

    def on_end(self) -> None:
        for logger in self.loggers:
            logger.close(self.outcome())
        for logger in self.loggers:
            logger.join()
