"""A stage's sequences where some of them are replayed: two packing indices seen as one.

Of the first n sequences, floor(n * fraction) come from the index of what is replayed, the others
from that of the stage's own documents, each in its order. So any sequence is found from its number,
and every sum over the first n is the sum of one of each index.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.replay import Replay
from geo_nemo.config.stage_bounds import replayed_of
from geo_nemo.data.draws import Draws
from geo_nemo.data.fragments import Fragment
from geo_nemo.data.index.read import LEDGER, GroupOf, Index, by_country

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geo_nemo.data.index.write import FileSink
    from geo_nemo.data.window import Counts

# Behind a stage's name: that of its replayed part.
SUFFIX = ".replay"


class ReplayIndex:
    """As `Index`, of what a stage draws itself and of what it replays."""

    def __init__(self, own: Index, replayed: Index, replay: Replay):
        self.own, self.replayed, self.replay = own, replayed, replay

    def __len__(self) -> int:
        fraction = self.replay.exact
        own, again = (len(self.own) + 1) / (1 - fraction), (len(self.replayed) + 1) / fraction
        most = ceil(min(own, again))
        while most and not self._has(most):
            most -= 1
        return most

    @property
    def counts(self) -> Counts:
        """Of all windows of both."""
        return self.own.counts + self.replayed.counts

    @property
    def documents(self) -> int:
        """Distinct ones that the stage draws from, and that it may replay."""
        return self.own.documents + self.replayed.documents

    def split(self, sequences: int) -> tuple[int, int]:
        """How many of the first `sequences` are the stage's own, and how many are replayed."""
        again = replayed_of(sequences, self.replay)
        return sequences - again, again

    def sequence(self, number: int) -> list[Fragment]:
        """The fragments of sequence `number`."""
        (own, again), (_, after) = self.split(number), self.split(number + 1)
        return self.replayed.sequence(again) if after > again else self.own.sequence(own)

    def ledger(self, sequences: int, group_of: GroupOf = by_country) -> np.ndarray:
        """As of an `Index`."""
        own, again = self.split(sequences)
        return self.own.ledger(own, group_of) + self.replayed.ledger(again, group_of)

    def shown(self, sequences: int, policy: MetadataPolicy) -> np.ndarray:
        """As of an `Index`."""
        own, again = self.split(sequences)
        return self.own.shown(own, policy) + self.replayed.shown(again, policy)

    def fragments(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """As of an `Index`."""
        (own, again), (own_stop, again_stop) = self.split(start), self.split(stop)
        yield from self.own.fragments(own, own_stop)
        yield from self.replayed.fragments(again, again_stop)

    def sequences_with(
        self, documents: np.ndarray, sequences: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As of an `Index`."""
        fraction = self.replay.exact
        before = np.arange(sequences + 1) * fraction.numerator // fraction.denominator
        is_replayed = np.diff(before) > 0
        found, places = [], []
        for index, chosen in ((self.own, ~is_replayed), (self.replayed, is_replayed)):
            numbers = np.flatnonzero(chosen)
            those, at = index.sequences_with(documents, len(numbers))
            found.append(those)
            places.append(numbers[at])
        at, those = np.concatenate(places), np.concatenate(found)
        order = np.lexsort((those, at))
        return those[order], at[order]

    def mark_documents(self, sequences: int, marks: np.ndarray) -> None:
        """As of an `Index`."""
        own, again = self.split(sequences)
        self.own.mark_documents(own, marks)
        self.replayed.mark_documents(again, marks)

    def _has(self, sequences: int) -> bool:
        own, again = self.split(sequences)
        return own <= len(self.own) and again <= len(self.replayed)


# What a stage's sequences are read from.
AnyIndex = Index | ReplayIndex


def replayed_sums(index: AnyIndex, policy: MetadataPolicy, sequences: int) -> np.ndarray:
    """Of the first `sequences`: how many are replayed, and `LEDGER` of these, int64 [5]."""
    if not isinstance(index, ReplayIndex):
        return np.zeros(1 + len(LEDGER), np.int64)
    _, again = index.split(sequences)
    return np.concatenate([[again], index.replayed.shown(again, policy).sum(axis=0)])


def read_documents(parts: list[tuple[AnyIndex, int]], num_documents: int) -> np.ndarray:
    """Documents in the first sequences of some indices, sorted and distinct.

    parts: an index, and how many of its sequences are read. Takes a byte a document of the split.
    """
    marks = np.zeros(num_documents, dtype=bool)
    for index, sequences in parts:
        index.mark_documents(sequences, marks)
    dtype = np.uint32 if num_documents <= 1 << 32 else np.int64
    return np.flatnonzero(marks).astype(dtype)


def check_replayed(
    stage: str, replay: Replay, draws: Draws, sink: FileSink, sequences: int
) -> None:
    """Raise `UserError` where `sequences` take the documents more often than `max_epochs`.

    sink: has the windows that were planned for them.
    """
    read, counts, most = len(draws.documents), sink.counts, replay.max_epochs
    # Whole windows were planned, of which the last is needed in part.
    epochs = counts.documents / read * sequences / max(counts.sequences, 1)
    if epochs <= most and sink.windows <= ceil(most * (draws.windows_per_epoch or 1)):
        return
    raise UserError(
        f"stages.{stage}.replay.fraction={replay.fraction:g} takes {sequences:,} sequences, which "
        f"are {max(epochs, most):.2f} times the {read:,} documents that earlier stages have read, "
        f"above stages.{stage}.replay.max_epochs={most:g}: raise it, or lower the fraction"
    )
