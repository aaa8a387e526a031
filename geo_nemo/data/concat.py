"""Joins documents and cuts them where a sequence ends, with the head again in front of each
fragment.

Without heads (`packing.cut_spans`) this is the papers' concatenate-and-chunk. A head makes a
fragment longer by what the cut decides, so that sequences follow from each other and not from a
sum.
"""

from bisect import bisect_right

import numpy as np

from geo_nemo.data.packing import DocumentLengths, Fragments, cut_spans


class Concat:
    """Joins documents and cuts them where a sequence ends."""

    def __init__(self, seq_length: int, prefix_fragments: bool):
        self._seq_length, self._prefix_fragments = seq_length, prefix_fragments

    def pack(self, lengths: DocumentLengths) -> tuple[Fragments, np.ndarray, int]:
        if self._prefix_fragments:
            return concat(lengths, self._seq_length)
        cut, sequence_of = cut_spans(lengths, self._seq_length, joined=True)
        return cut, sequence_of, int(sequence_of[-1]) + 1 if len(sequence_of) else 0


def concat(lengths: DocumentLengths, seq_length: int) -> tuple[Fragments, np.ndarray, int]:
    """Fragments, the sequence of each [m], and the number of sequences.

    A document that does not fit in the rest of a sequence is cut there, if head, title and one body
    token fit; else the rest is padding. In a sequence of its own it is cut as `cut_documents` does.
    Documents of `too_long_heads` must not be given.
    """
    number = len(lengths.body)
    ends = np.cumsum(lengths.positions).tolist()
    parts = (lengths.head, lengths.title_label, lengths.title, lengths.body, lengths.tail)
    heads, labels, titles, bodies, tails = (part.tolist() for part in parts)
    sequence_of = np.zeros(number, dtype=np.int64)
    cut: list[tuple[int, ...]] = []
    sequence, room, document = 0, seq_length, 0
    while document < number:
        before = ends[document - 1] if document else 0
        fitting = bisect_right(ends, before + room, document)
        if fitting > document:
            sequence_of[document:fitting] = sequence
            room -= ends[fitting - 1] - before
            document = fitting
            continue
        head, label, body, tail = (p[document] for p in (heads, labels, bodies, tails))
        title = titles[document]
        if room < seq_length and (head + label + title > room or body < 2):
            sequence, room = sequence + 1, seq_length
            continue
        if room == seq_length:
            title = min(title, seq_length - head - label - tail)
        front, start = head + label + title, 0
        while front + body - start + tail > room + 1:
            stop = min(start + room + 1 - front, body - 1)
            cut.append((document, start, stop, title, False, front + stop - start - 1, sequence))
            sequence, room, front, title, start = sequence + 1, seq_length, head, 0, stop
        taken = front + body - start + tail - 1
        cut.append((document, start, body, title, True, taken, sequence))
        room -= taken
        document += 1
    return *_joined(lengths, sequence_of, cut), sequence + 1 if number else 0


def _joined(
    lengths: DocumentLengths, sequence_of: np.ndarray, cut: list[tuple[int, ...]]
) -> tuple[Fragments, np.ndarray]:
    """Whole documents and the pieces in `cut` as fragments, and their sequences."""
    pieces = np.array(cut, dtype=np.int64).reshape(-1, 7)
    whole = np.ones(len(sequence_of), dtype=bool)
    whole[pieces[:, 0]] = False
    kept = np.flatnonzero(whole)
    zeros, ones = np.zeros_like(kept), np.ones_like(kept)
    columns = (
        kept,
        zeros,
        lengths.body[kept],
        lengths.title[kept],
        ones,
        lengths.positions[kept],
        sequence_of[kept],
    )
    table = np.concatenate([np.stack(columns, axis=1), pieces])
    # Stable: the pieces of a document stay in their order.
    table = table[np.argsort(table[:, 0], kind="stable")]
    document, start, stop, title, final, taken, sequence = table.T
    bare = np.zeros(len(table), dtype=bool)
    return Fragments(document, start, stop, title, final.astype(bool), taken, bare), sequence
