"""What a logger is: a class that takes the numbers of a logged step somewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from geo_nemo.config import Logging

# stopped: asked to stop, and saved; the same command goes on.
Outcome = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class Told:
    """What a logger is told of the run.

    output: the run's folder, where a logger keeps what it needs to go on in one run after a
    restart. config: every setting, passwords masked.
    """

    name: str
    output: Path
    logging: Logging
    config: Mapping[str, Any]


class Logger(Protocol):
    """Made of `Told` and its options, `logging.options`, as keyword arguments.

    Making one imports its package and checks its settings, and touches nothing else. All other
    calls come from one thread of rank 0, which training does not wait for. What raises an OSError
    (a connection, a timeout, a full disk) is tried again; any other error ends the logger.

    One that has an attribute `last_told`, of the last step that it has been told in any session, is
    sent what it lacks of the steps before the one that the run goes on from.
    """

    def on_start(self, step: int) -> None:
        """Open it: `step` steps are done. Called again after a rewind, and where it failed.

        What it was told of later steps, in this process or one before, is told again.
        """

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step; `step` steps are done. Once a step."""

    def close(self, outcome: Outcome) -> None:
        """After the last step of this process."""
