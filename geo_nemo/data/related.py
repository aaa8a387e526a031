"""Draws that keep related documents together, for sequences of In-Context Pretraining.

Shi et al. (arXiv 2310.10638) put documents behind each other whose neighbours they are. Here they
are related by what the store knows: one near-duplicate cluster, one host, or one value of a field.
Documents stand group by group; runs of consecutive ones keep their order, and the runs come in a
new order each epoch. A packing that joins documents as they come then puts a run into a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from geo_nemo.config.data import CLUSTER, HOST
from geo_nemo.data.counter import derive_key, hash64, permute
from geo_nemo.data.draws import Drawn
from geo_nemo.data.groups import axis_of

if TYPE_CHECKING:
    from geo_nemo.data.mixing import Pool
    from geo_nemo.store import Split

# Documents that stay together: some sequences of them, and few enough that a batch has many runs.
RUN = 32


@dataclass(frozen=True)
class RelatedDraws:
    """Every document once an epoch, in runs of related ones.

    documents: group by group, in each at random. key: of the stage. size: documents of a window.
    """

    documents: np.ndarray
    key: int
    size: int

    @property
    def windows_per_epoch(self) -> int:
        """Windows that hold each document once."""
        return -(-self._runs // self._runs_a_window)

    @property
    def _runs(self) -> int:
        return -(-len(self.documents) // RUN)

    @property
    def _runs_a_window(self) -> int:
        return max(self.size // RUN, 1)

    def over(self, documents: np.ndarray, split: Split | None = None) -> Self:
        """The same of these documents."""
        return replace(self, documents=documents)

    def window(self, number: int) -> Drawn:
        """The runs of window `number`, counted over epochs."""
        epoch, place = divmod(number, self.windows_per_epoch)
        first = place * self._runs_a_window
        places = np.arange(first, min(first + self._runs_a_window, self._runs))
        runs = permute(derive_key(self.key, "runs", epoch), self._runs, places)
        at = (runs[:, None] * RUN + np.arange(RUN)).ravel()
        chosen = self.documents[at[at < len(self.documents)]].astype(np.int64)
        return Drawn(chosen, np.full(len(chosen), epoch, dtype=np.int64))

    def epochs(self, documents: np.ndarray, drawn: float) -> np.ndarray:
        """The same for every group that is there."""
        return np.where(documents > 0, drawn / len(self.documents), 0.0)


def related(pool: Pool) -> RelatedDraws:
    """Documents of one cluster, host or value of a field behind each other."""
    split, documents, by = pool.split, pool.documents, pool.sampling.related
    if by == CLUSTER:
        groups = split.cluster[documents]
    elif by == HOST:
        groups = split.host[documents]
    else:
        groups = axis_of(split, str(by), f"stages.{pool.stage}.sampling.related").of(
            split, documents
        )
    at_random = hash64(derive_key(pool.key, "related"), documents)
    order = np.lexsort((at_random, groups))
    return RelatedDraws(documents[order], pool.key, pool.window)
