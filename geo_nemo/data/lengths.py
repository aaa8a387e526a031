"""Token counts of metadata blocks for many documents at once, so that packing composes nothing.

A block's length is the sum of its lines' and its separator's. A line is counted once for each value
of the columns that its field declares; where these are none of a store's integer columns, as a
path, once for each document. A block with a line that its vocabulary joins to the next is counted
as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.data.dropout import fields_of
from geo_nemo.data.placebo import told
from geo_nemo.metadata.blocks import OPEN
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.fields import Line, key_columns

if TYPE_CHECKING:
    from geo_nemo.store import Split

_NOT_COUNTED = -1
# Together, columns have more values than fit in memory.
MOST_COUNTED = 1 << 20


class MetadataLengths:
    """Lengths of metadata blocks under one composer over one split.

    Holds 4 bytes a value of each field, as a host of the store (8 where dropout or a missing value
    can make the field's line the first or not).
    """

    def __init__(self, composer: Composer, split: Split):
        self._composer = composer
        self._told = told(split, composer.policy)
        self._tables: dict[tuple[str, bool], np.ndarray] = {}
        self._counted: dict[tuple[str, bool], dict[tuple[int, ...], int]] = {}
        self._meets_open = False

    def __call__(self, documents: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """int64 [n]: tokens of each document's metadata block.

        documents: indices into the split, [n]. kept: bit masks over `policy.fields`, [n].
        """
        unjoined = np.zeros(len(documents), dtype=bool)
        total = np.zeros(len(documents), dtype=np.int64)
        begun = np.zeros(len(documents), dtype=bool)
        for place, line in enumerate(self._composer.lines):
            present = (kept >> place & 1).astype(bool)
            lengths = np.zeros(len(documents), dtype=np.int64)
            for first in (True, False):
                chosen = np.flatnonzero(present & (begun ^ first))
                if len(chosen):
                    lengths[chosen] = self._lengths(line, first, documents[chosen])
            total += lengths
            begun |= lengths != 0
            if self._meets_open:
                unjoined |= lengths == OPEN
        total[begun] += len(self._composer.separator)
        if unjoined.any():
            whole = np.flatnonzero(unjoined)
            total[whole] = self._blocks(documents[whole], kept[whole])
        return total

    def _blocks(self, documents: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Of blocks with a line that cannot be counted alone: once for each that there is."""
        lengths = np.zeros(len(documents), dtype=np.int64)
        keys = key_columns(self._composer.lines)
        shown = np.flatnonzero(kept)
        if not len(shown):
            return lengths
        chosen, masks = documents[shown], kept[shown]

        def count(places: np.ndarray) -> np.ndarray:
            blocks = [
                self._composer.prefix_ids(
                    self._told.record(document), fields_of(self._composer.policy, mask)
                )
                for document, mask in zip(
                    chosen[places].tolist(), masks[places].tolist(), strict=True
                )
            ]
            return np.array([len(block) for block in blocks], np.int64)

        if keys is None:
            lengths[shown] = count(np.arange(len(shown)))
        else:
            columns = [_unsigned(self._told.codes_of(key, chosen)) for key in keys]
            lengths[shown] = self._by_values(("", True), [*columns, masks], count)
        return lengths

    def _lengths(self, line: Line, first: bool, documents: np.ndarray) -> np.ndarray:
        """Tokens of one line of each document, [n]; 0 where a document has none."""
        keys = key_columns([line])
        if keys is None:
            return self._count(line, first, documents)
        columns = [_unsigned(self._told.codes_of(key, documents)) for key in keys]
        if len(columns) == 1:
            return self._by_table(line, first, documents, columns[0])
        return self._by_values(
            (line.name, first),
            [*columns, np.zeros(len(documents), np.int64)],
            lambda places: self._count(line, first, documents[places]),
        )

    def _by_table(
        self, line: Line, first: bool, documents: np.ndarray, codes: np.ndarray
    ) -> np.ndarray:
        table = self._table(line, first, int(codes.max()) + 1)
        lengths = table[codes]
        unknown = np.flatnonzero(lengths == _NOT_COUNTED)
        if len(unknown):
            values, example = np.unique(codes[unknown], return_index=True)
            table[values] = self._count(line, first, documents[unknown[example]])
            lengths = table[codes]
        return lengths

    def _table(self, line: Line, first: bool, size: int) -> np.ndarray:
        table = self._tables.get((line.name, first), np.empty(0, np.int32))
        if size > len(table):
            grown = np.full(max(size, 2 * len(table)), _NOT_COUNTED, np.int32)
            grown[: len(table)] = table
            table = self._tables[line.name, first] = grown
        return table

    def _by_values(
        self,
        name: tuple[str, bool],
        columns: list[np.ndarray],
        count: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Of what depends on several columns together, or on none; `count` takes places."""
        together = np.stack([column.astype(np.uint64) for column in columns], axis=1)
        values, example, of = np.unique(together, axis=0, return_index=True, return_inverse=True)
        counted = self._counted.setdefault(name, {})
        if len(counted) > MOST_COUNTED:
            counted.clear()
        keys = list(map(tuple, values.tolist()))
        new = [place for place, key in enumerate(keys) if key not in counted]
        lengths = count(example[new])
        counted |= zip([keys[place] for place in new], lengths.tolist(), strict=True)
        return np.array([counted[key] for key in keys], np.int64)[of.reshape(-1)]

    def _count(self, line: Line, first: bool, documents: np.ndarray) -> np.ndarray:
        texts = [
            self._composer.line_text(line, self._told.record(document), first)
            for document in documents.tolist()
        ]
        there = {place: text for place, text in enumerate(texts) if text is not None}
        lengths = np.zeros(len(texts), dtype=np.int64)
        if there:
            counted = self._composer.line_lengths(list(there.values()), first)
            self._meets_open = self._meets_open or OPEN in counted
            lengths[list(there)] = counted
        return lengths


def _unsigned(codes: np.ndarray) -> np.ndarray:
    """Years are signed in a store; a table has no place below 0."""
    return codes.view(f"u{codes.itemsize}") if codes.dtype.kind == "i" else codes
