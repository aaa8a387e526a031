"""Which share of a stage's sequences holds documents that earlier stages have read."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from geo_nemo.config.section import Section

# Shares are fractions of whole numbers, so that no count of sequences depends on rounding.
_DENOMINATOR = 1_000_000


class Replay(Section):
    """Documents of earlier stages, in sequences of their own, at even distances among the others.

    They are told and composed as this stage says, in an order of their own.

    fraction: of the stage's sequences. of: names of earlier stages; all where it is empty.
    max_epochs: how often this stage may read each of those documents; more is an error, before the
        run.
    """

    fraction: Annotated[float, Field(gt=0, lt=1)]
    of: tuple[str, ...] = ()
    max_epochs: Annotated[float, Field(gt=0)] = 1.0

    @property
    def exact(self) -> Fraction:
        """The fraction as it was written."""
        return Fraction(str(self.fraction)).limit_denominator(_DENOMINATOR)


def check_replay(replays: Mapping[str, Replay | None]) -> None:
    """Raise `ValueError` where a stage replays what no earlier one can have read."""
    names = list(replays)
    for place, (stage, replay) in enumerate(replays.items()):
        if replay is None:
            continue
        if place == 0:
            raise ValueError(
                f"stages.{stage}.replay: no stage is before {stage}, so there is nothing to "
                f"replay: take it out"
            )
        if len(set(replay.of)) != len(replay.of):
            raise ValueError(f"stages.{stage}.replay.of names a stage twice")
        unknown = [name for name in replay.of if name not in names[:place]]
        if unknown:
            raise ValueError(
                f"stages.{stage}.replay.of names {', '.join(unknown)}, and before {stage} come "
                f"{', '.join(names[:place])}"
            )
