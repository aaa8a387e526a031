"""Metadata of other documents: what a placebo is told.

A run with `metadata.placebo` has as much metadata as its like, in the same places and of the same
kinds, and none of it says anything of the text. Which document lends its metadata to which is one
permutation of all documents of a split: the same for every seed, stage, epoch and rank. Texts,
groups, selection and sampling are the documents' own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import MetadataPolicy
from geo_nemo.data.counter import derive_key, permute

if TYPE_CHECKING:
    from geo_nemo.metadata.record import MetadataRecord
    from geo_nemo.store import Split

SEED = 0
# The whole permutation in memory, of splits up to so many documents: 8 bytes each.
WHOLE_UP_TO = 1 << 24


class Donors:
    """Whose metadata each document of a split is told."""

    def __init__(self, split: Split):
        self._size = split.num_documents
        self._key = derive_key(SEED, "placebo", split.name)
        self._table: np.ndarray | None = None

    def __call__(self, documents: np.ndarray) -> np.ndarray:
        """int64, the shape of `documents`; a permutation of all documents."""
        if self._size > WHOLE_UP_TO:
            return permute(self._key, self._size, np.asarray(documents))
        if self._table is None:
            self._table = permute(self._key, self._size, np.arange(self._size))
        return self._table[documents]

    def of(self, document: int) -> int:
        """The donor of one document."""
        return int(self(np.array([document]))[0])


class PlaceboMetadata:
    """The metadata of a split's documents as a placebo tells them; it has no texts."""

    def __init__(self, split: Split):
        self._split = split
        self._donors = Donors(split)

    def record(self, index: int) -> MetadataRecord:
        """What document `index` is told."""
        return self._split.record(self._donors.of(index))

    def codes_of(self, column: str, documents: np.ndarray) -> np.ndarray:
        """Of an integer column, what some documents are told, [n]."""
        return self._split.codes(column)[self._donors(documents)]

    def code_reader(self, columns: Sequence[str]) -> Callable[[int], Hashable]:
        """A function from a document to what it is told in integer columns."""
        read = self._split.code_reader(columns)
        return lambda document: read(self._donors.of(document))


class OwnMetadata:
    """The same of documents that are told their own."""

    def __init__(self, split: Split):
        self.record = split.record
        self.code_reader = split.code_reader
        self._split = split

    def codes_of(self, column: str, documents: np.ndarray) -> np.ndarray:
        """Of an integer column, the values of some documents, [n]."""
        return self._split.codes(column)[documents]


def told(split: Split, policy: MetadataPolicy) -> OwnMetadata | PlaceboMetadata:
    """Whose metadata the documents of a split are told under a policy."""
    return PlaceboMetadata(split) if policy.placebo else OwnMetadata(split)
