"""What the evaluation asks of a loaded model."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.data.sequences import PackedSequence


class Scorer(Protocol):
    """A loaded model that gives the likelihood of a sequence.

    seq_length: the longest segment that it takes. A sequence may be longer, as it holds several.
    vocab_size: ids below it have a likelihood.
    """

    seq_length: int
    vocab_size: int

    def nll(self, sequence: PackedSequence) -> np.ndarray:
        """-log p(labels[t]) in nats, float32 [s]; attention stays inside each segment."""
        ...

    def guided(self, told: PackedSequence, untold: PackedSequence, strength: float) -> np.ndarray:
        """-log p of the labels of `told`, nats, float32 [s]; 0 where `loss_mask` is.

        p is what softmax makes of untold + strength * (told - untold), the logits of both.
        They hold the same texts in the same order, whose labels with a loss are the same.
        """
        ...


@runtime_checkable
class Batches(Protocol):
    """A scorer that says itself which items go into one sequence, as they suit it."""

    def batches(self, positions: np.ndarray) -> list[np.ndarray]:
        """Places of the items of each sequence, of items that take `positions` [n]."""
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


@runtime_checkable
class HiddenStates(Protocol):
    """A scorer whose layers can be looked into."""

    def hidden_means(
        self,
        texts: Sequence[np.ndarray],
        places: Sequence[np.ndarray],
        progress: Progress = no_progress,
    ) -> np.ndarray:
        """Mean hidden state over some places of each text, float32 [layers + 1, n, size].

        texts: ids [t] of each. Layer 0 is the embeddings.
        """
        ...

    def greedy(self, texts: Sequence[np.ndarray], asked: Sequence[np.ndarray]) -> np.ndarray:
        """Whether each text goes on with its own token at all of its places `asked`, bool [n].

        At place p that is: the likeliest token behind it is the one at p + 1.
        """
        ...
