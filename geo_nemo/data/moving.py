"""Draws whose groups' rates move linearly over a stage.

A window takes the same number of text tokens wherever it stands in the stage, of which each group's
share lies on the line from its first weight to its last. Documents that a group has given before
window n are the integral of that line, so that a window still follows from its number alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.data.draws import FRACTION_BITS, GroupDraws

if TYPE_CHECKING:
    from geo_nemo.data.window import Planner

# Windows that a stage should have at least, for weights stay within one.
LEAST_WINDOWS = 32
# Documents of which the sequences of a window are estimated.
_MEASURED_DOCUMENTS = 4096
_NEVER = 1 << 40


@dataclass(frozen=True)
class MovingDraws(GroupDraws):
    """Groups at rates that move.

    documents, starts, key: of `GroupDraws`. first, last: float64 [g], documents of a window at the
    stage's beginning and at its end.
    windows: of the stage; later ones stay at `last`.
    """

    documents: np.ndarray
    starts: np.ndarray
    first: np.ndarray
    last: np.ndarray
    key: int
    windows: int = _NEVER

    @cached_property
    def _lines(self) -> list[tuple[int, int]]:
        ends = zip(self.first.tolist(), self.last.tolist(), strict=True)
        return [(round(a * (1 << FRACTION_BITS)), round(b * (1 << FRACTION_BITS))) for a, b in ends]

    def drawn_before(self, number: int) -> list[int]:
        """Documents of each group in all windows before `number`."""
        moving, still = min(number, self.windows), max(number - self.windows, 0)
        twice = 2 * self.windows
        # a n + (b - a) n^2 / (2 W), in whole numbers: it never falls, so none is drawn twice.
        return [
            (first * moving * twice + (last - first) * moving**2 + (last * still + offset) * twice)
            // (twice << FRACTION_BITS)
            for (first, last), offset in zip(self._lines, self._offsets, strict=True)
        ]

    def epochs(self, documents: np.ndarray, drawn: float) -> np.ndarray:
        """From the middle of the groups' rates."""
        middle = (self.first + self.last) / 2
        return middle / middle.sum() * drawn / np.maximum(documents, 1)

    def over_sequences(
        self, sequences: int, planner_of: Callable[[MovingDraws], Planner]
    ) -> MovingDraws:
        """The same, moving over the windows that so many sequences take.

        A window's sequences move linearly, too; those of its first and last form are counted.
        planner_of: gives what plans windows of some draws.
        """
        at_first, at_last = replace(self, windows=_NEVER), replace(self, windows=1)
        each = [
            _sequences(planner_of(draws), begin) for draws, begin in ((at_first, 0), (at_last, 1))
        ]
        return replace(self, windows=max(1, round(sequences / (sum(each) / 2))))


def _sequences(planner: Planner, begin: int) -> float:
    """Sequences of a window, from the first ones of `_MEASURED_DOCUMENTS` documents."""
    sequences = documents = windows = 0
    while documents < _MEASURED_DOCUMENTS and windows < LEAST_WINDOWS:
        counts = planner.plan(begin + windows).counts
        sequences, documents = sequences + counts.sequences, documents + counts.documents
        windows += 1
    return max(sequences, 1) / windows
