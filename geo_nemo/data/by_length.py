"""Documents cut into pieces of power-of-two lengths, each length in sequences of its own.

Dataset decomposition (Pouransari et al., arXiv 2405.13226): a document becomes the largest pieces
that it fills, from a whole sequence down to an eighth of one, and only what is left at its end is
padded. A sequence holds pieces of one length, so that attention costs the same throughout it.
Shorter sequences first, as in the paper's curriculum, are stages with a `seq_length` of their own.
"""

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.data.packing import DocumentLengths, Fragments

# The shortest piece is a sequence's so many-th part.
PARTS = 8
_Pieces = list[tuple[int, ...]]


class ByLength:
    """Pieces of one length a sequence; `UserError` where `seq_length` is no power of two."""

    def __init__(self, seq_length: int, prefix_fragments: bool):
        if seq_length & (seq_length - 1):
            nearest = 1 << (seq_length.bit_length() - 1)
            raise UserError(
                f"data.packing=by_length cuts documents at powers of two, and data.seq_length="
                f"{seq_length} is none: give {nearest} or {2 * nearest}"
            )
        self._seq_length, self._prefix_fragments = seq_length, prefix_fragments
        self._least = max(seq_length // PARTS, 1)

    def pack(self, lengths: DocumentLengths) -> tuple[Fragments, np.ndarray, int]:
        cut = self._headed if self._prefix_fragments else self._bare
        parts = (lengths.head, lengths.title_label, lengths.title, lengths.body, lengths.tail)
        documents = zip(*(part.tolist() for part in parts), strict=True)
        pieces = [piece for number, of in enumerate(documents) for piece in cut(number, *of)]
        table = np.array(pieces, dtype=np.int64).reshape(-1, 8)
        document, start, stop, title, final, positions, bare, length = table.T
        fragments = Fragments(
            document, start, stop, title, final.astype(bool), positions, bare.astype(bool)
        )
        return fragments, *self._sequences(length)

    def _headed(
        self, document: int, head: int, label: int, title: int, body: int, tail: int
    ) -> _Pieces:
        """Each piece with the document's head; (fragment's columns, its length) of each."""
        title = min(title, self._seq_length - head - label - tail)
        pieces: _Pieces = []
        front, start = head + label + title, 0
        while True:
            needed = front + body - start + tail - 1
            # The last token cannot be cut off; what is left behind a long head is padded instead.
            length = self._length(needed, needed if body - start == 1 else front)
            if needed <= length:
                return [*pieces, (document, start, body, title, 1, needed, 0, length)]
            # A token stays for the last piece, because EOS never stands without text before it.
            stop = min(start + length + 1 - front, body - 1)
            pieces.append((document, start, stop, title, 0, front + stop - start - 1, 0, length))
            front, title, start = head, 0, stop

    def _bare(
        self, document: int, head: int, label: int, title: int, body: int, tail: int
    ) -> _Pieces:
        """Pieces of the whole document, without a head but in front of the first."""
        end = head + label + title + body + tail - 1
        pieces: _Pieces = []
        start = 0
        while True:
            length = self._length(end - start, 0)
            stop = min(start + length, end)
            if start == 0 and stop == end:
                return [(document, 0, body, title, 1, end, 0, length)]
            pieces.append((document, start, stop, 0, int(stop == end), stop - start, 1, length))
            if stop == end:
                return pieces
            start = stop

    def _length(self, needed: int, front: int) -> int:
        """The longest piece that `needed` positions fill; one of which `front` is half at most."""
        filled = min(1 << (needed.bit_length() - 1), self._seq_length)
        holding = 1 << (2 * front - 1).bit_length() if front else 1
        return min(max(filled, self._least, holding), self._seq_length)

    def _sequences(self, length: np.ndarray) -> tuple[np.ndarray, int]:
        """The sequence of each piece, int64 [m], and their number."""
        sequence_of, number = np.empty(len(length), np.int64), 0
        for each in np.unique(length).tolist():
            mine = np.flatnonzero(length == each)
            sequence_of[mine] = number + np.arange(len(mine)) // (self._seq_length // each)
            number = int(sequence_of[mine[-1]]) + 1
        return sequence_of, number
