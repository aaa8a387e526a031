"""Plans the rows of one window of documents; the plan is recomputed, never stored.

1. The epoch's shuffle gives the window's documents.
2. Dropout decides which metadata fields each shows; lengths follow without composing anything.
3. Long documents are cut, fragments are packed best-fit, and the rows are shuffled.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geo_nemo.config import UserError
from geo_nemo.data.counter import derive_key, permute
from geo_nemo.data.dropout import kept_fields
from geo_nemo.data.lengths import MetadataLengths
from geo_nemo.data.packing import (
    DocumentLengths,
    best_fit,
    cut_documents,
    too_long_heads,
)
from geo_nemo.metadata.compose import Composer

if TYPE_CHECKING:
    from geo_nemo.store import Split


class Fragment(NamedTuple):
    """A document or a piece of one in a row.

    document: index into the split. start, stop: span of its body tokens. title: title tokens
    shown. final: the body ends here. kept: bit mask of the policy's fields that are shown.
    """

    document: int
    start: int
    stop: int
    title: int
    final: bool
    kept: int


@dataclass(frozen=True)
class Counts:
    """What packing did; counts add up over windows.

    positions: places of rows that hold a token, `rows * seq_length` less the padding.
    metadata_tokens: those of metadata blocks.
    """

    rows: int = 0
    documents: int = 0
    fragments: int = 0
    cut_documents: int = 0
    cut_titles: int = 0
    positions: int = 0
    metadata_tokens: int = 0

    def __add__(self, other: Counts) -> Counts:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)}
        return Counts(**sums)


@dataclass(frozen=True)
class Window:
    """The planned rows of one window.

    columns: the fields of `Fragment`, an array [m] each, ordered by row.
    row_starts: int64 [rows + 1]; row r holds the fragments row_starts[r] to row_starts[r + 1].
    """

    epoch: int
    columns: tuple[np.ndarray, ...]
    row_starts: np.ndarray
    counts: Counts

    def __len__(self) -> int:
        return len(self.row_starts) - 1

    def row(self, place: int) -> list[Fragment]:
        """The fragments of one row, in order."""
        span = slice(self.row_starts[place], self.row_starts[place + 1])
        return list(map(Fragment, *(column[span].tolist() for column in self.columns)))


class Planner:
    """Plans any window of any epoch of a stage, in any order.

    key: of the stage, `derive_key(seed, stage)`. documents: indices into the split, [n].
    """

    def __init__(
        self,
        split: Split,
        composer: Composer,
        documents: np.ndarray,
        key: int,
        seq_length: int,
        window_documents: int,
    ):
        self.documents = documents
        self.windows_per_epoch = -(-len(documents) // window_documents)
        self._split = split
        self._composer = composer
        self._key = key
        self._seq_length = seq_length
        self._window_documents = window_documents
        self._metadata_lengths = MetadataLengths(composer, split)

    def plan(self, number: int) -> Window:
        """Window `number`, counted over epochs."""
        epoch, place = divmod(number, self.windows_per_epoch)
        first = place * self._window_documents
        last = min(first + self._window_documents, len(self.documents))
        order = derive_key(self._key, "order", epoch)
        chosen = self.documents[permute(order, len(self.documents), np.arange(first, last))]
        kept = kept_fields(self._composer.policy, self._key, epoch, chosen)
        metadata = self._metadata_lengths(chosen, kept)
        lengths = self._lengths(chosen, metadata)
        self._check_heads(chosen, lengths)

        cut = cut_documents(lengths, self._seq_length)
        row_of, num_rows = best_fit(cut.positions, self._seq_length)
        shuffle = derive_key(self._key, "rows", epoch, place)
        row_of = permute(shuffle, num_rows, row_of)
        # Inside a row the order is the window's, which is random: no kind of document comes first.
        by_row = np.argsort(row_of, kind="stable")

        columns = (
            chosen[cut.document],
            cut.start,
            cut.stop,
            cut.title,
            cut.final,
            kept[cut.document],
        )
        row_starts = np.zeros(num_rows + 1, dtype=np.int64)
        np.cumsum(np.bincount(row_of, minlength=num_rows), out=row_starts[1:])
        return Window(
            epoch=epoch,
            columns=tuple(column[by_row] for column in columns),
            row_starts=row_starts,
            counts=self._count(lengths, metadata, cut, num_rows),
        )

    def _lengths(self, chosen: np.ndarray, metadata: np.ndarray) -> DocumentLengths:
        composer, split = self._composer, self._split
        title = np.asarray(split.title_lengths[chosen], dtype=np.int64)
        nothing = np.zeros_like(metadata)
        append = composer.policy.position == "append"
        before, after = (nothing, metadata) if append else (metadata, nothing)
        return DocumentLengths(
            head=1 + before + len(composer.content_label),
            title_label=np.where(title > 0, len(composer.title_label), 0),
            title=title,
            body=np.asarray(split.body_lengths[chosen], dtype=np.int64),
            tail=after + 1,
        )

    def _check_heads(self, chosen: np.ndarray, lengths: DocumentLengths) -> None:
        bad = too_long_heads(lengths, self._seq_length)
        if len(bad):
            place = bad[0]
            host = self._split.record(int(chosen[place])).host
            needed = lengths.head[place] + lengths.title_label[place] + lengths.tail[place]
            raise UserError(
                f"metadata and labels of a document of {host} take {needed} tokens and leave no "
                f"room for text at seq_length {self._seq_length}: raise data.seq_length or give "
                f"fewer metadata fields"
            )

    def _count(self, lengths, metadata, cut, num_rows: int) -> Counts:
        append = self._composer.policy.position == "append"
        shown = cut.final if append else np.ones(len(cut.final), dtype=bool)
        return Counts(
            rows=num_rows,
            documents=len(metadata),
            fragments=len(cut.document),
            cut_documents=len(metadata) - int(np.sum(cut.final & (cut.start == 0))),
            cut_titles=int(np.sum(cut.title[cut.start == 0] < lengths.title)),
            positions=int(cut.positions.sum()),
            metadata_tokens=int(metadata[cut.document][shown].sum()),
        )
