"""What the evaluation asks of a loaded model."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from geo_nemo.data.rows import Row


class Scorer(Protocol):
    """A loaded model that gives the likelihood of a row.

    seq_length: the longest segment that it takes. A row may be longer, as it holds several.
    vocab_size: ids below it have a likelihood.
    """

    seq_length: int
    vocab_size: int

    def nll(self, row: Row) -> np.ndarray:
        """-log p(labels[t]) in nats, float32 [s]; attention stays inside each segment."""
        ...

    def guided(self, told: Row, untold: Row, strength: float) -> np.ndarray:
        """-log p of the labels of `told`, nats, float32 [s]; 0 where `loss_mask` is.

        p is what softmax makes of untold + strength * (told - untold), the logits of both rows.
        They hold the same texts in the same order, whose labels with a loss are the same.
        """
        ...


@runtime_checkable
class Batches(Protocol):
    """A scorer that says itself which items go into one row, as they suit it."""

    def batches(self, positions: np.ndarray) -> list[np.ndarray]:
        """Places of the items of each row, of items that take `positions` [n]."""
        ...


@runtime_checkable
class SharedPrefixes(Protocol):
    """A scorer that computes what several texts begin with once."""

    def continuations(
        self, prefixes: Sequence[np.ndarray], endings: Sequence[Sequence[np.ndarray]]
    ) -> list[list[np.ndarray]]:
        """-log p of each token of each ending behind its prefix, nats, float64.

        prefixes: ids [n] of each. endings: of each prefix, the ids of its endings.
        """
        ...
