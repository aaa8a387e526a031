"""Token counts of metadata blocks for many documents at once, so that packing composes nothing.

A block's length is the sum of its lines' and its separator's. Lines are counted once a value: by
host and country index where the value is the index's, by document for the `path` and `full` forms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config.schema import MetadataField
from geo_nemo.metadata.compose import Composer

if TYPE_CHECKING:
    from geo_nemo.store import Split


class MetadataLengths:
    """Lengths of metadata blocks under one composer over one split.

    Holds 4 bytes a host of the store (8 where dropout can make the URL's line the first or not).
    """

    def __init__(self, composer: Composer, split: Split):
        self._composer = composer
        self._split = split
        self._tables: dict[tuple[MetadataField, bool], np.ndarray] = {}

    def __call__(self, documents: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """int64 [n]: tokens of each document's metadata block.

        documents: indices into the split, [n]. kept: bit masks over `policy.fields`, [n].
        """
        total = np.zeros(len(documents), dtype=np.int64)
        for place, field in enumerate(self._composer.policy.fields):
            present = (kept >> place & 1).astype(bool)
            follows = (kept & ((1 << place) - 1)).astype(bool)
            for first in (True, False):
                chosen = np.flatnonzero(present & (follows ^ first))
                if len(chosen):
                    total[chosen] += self._lines(field, first, documents[chosen])
        total[kept != 0] += len(self._composer.separator)
        return total

    def _lines(self, field: MetadataField, first: bool, documents: np.ndarray) -> np.ndarray:
        if field == "url" and self._composer.policy.url_form != "host":
            return self._count(field, first, documents)
        column, size = (
            (self._split.host, len(self._split.hosts))
            if field == "url"
            else (self._split.country, len(self._split.countries))
        )
        index = column[documents]
        table = self._tables.setdefault((field, first), np.zeros(size, dtype=np.int32))
        lengths = table[index]
        # A line has at least one token, so zero is "not counted yet".
        if not lengths.all():
            unknown = np.flatnonzero(lengths == 0)
            values, example = np.unique(index[unknown], return_index=True)
            table[values] = self._count(field, first, documents[unknown[example]])
            lengths = table[index]
        return lengths

    def _count(self, field: MetadataField, first: bool, documents: np.ndarray) -> np.ndarray:
        texts = [
            self._composer.field_text(field, self._split.record(document), first)
            for document in documents.tolist()
        ]
        encoded = self._composer.tokenizer.encode_batch(texts)
        return np.array([len(ids) for ids in encoded], dtype=np.int64)
