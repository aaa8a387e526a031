"""Cuts documents that do not fit in a sequence, and packs the fragments best-fit into sequences.

1. `cut_documents`: lengths of documents -> fragments of at most `seq_length` positions, each with
   its document's head; `cut_spans` without.
2. `best_fit`: positions of fragments -> the sequence of each.

A fragment of n tokens takes n - 1 positions: its last token is a label only. See
`geo_nemo.data.concat` for the packing that joins documents instead.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class DocumentLengths:
    """Token counts of the parts of documents, int64 [n] each.

    head: in front of every fragment's text: BOS, prepended metadata, the CONTENT: label.
    title_label: the TITLE: label, on the first fragment; zero without a title.
    title: title tokens, on the first fragment.
    body: body tokens.
    tail: behind the last fragment's text: appended metadata and EOS.
    """

    head: np.ndarray
    title_label: np.ndarray
    title: np.ndarray
    body: np.ndarray
    tail: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        """Places that each whole document takes, int64 [n]."""
        return self.head + self.title_label + self.title + self.body + self.tail - 1


@dataclass(frozen=True)
class Fragments:
    """Whole documents and pieces of long ones, in the order of the documents; [m] each.

    document: place of the document in the input.
    start, stop: the piece's span in the document's body tokens; where `bare`, in the positions of
        the whole document as it is composed.
    title: title tokens that the fragment shows (zero on later and on bare fragments).
    final: whether the body ends here, so that EOS follows.
    positions: places that the fragment takes in a sequence.
    bare: a plain piece of a cut document: position p holds token p and the label p + 1 of the
        whole, and nothing is put in front.
    """

    document: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    title: np.ndarray
    final: np.ndarray
    positions: np.ndarray
    bare: np.ndarray


class Packing(Protocol):
    """How the documents of a window become sequences; made anew in every process that plans."""

    def __init__(self, seq_length: int, prefix_fragments: bool):
        """Settings of `data`; options of the recipe follow by name.

        prefix_fragments: every fragment is to have a head. None of `too_long_heads` is given then.
        """

    def pack(self, lengths: DocumentLengths) -> tuple[Fragments, np.ndarray, int]:
        """Fragments of all documents, the sequence of each, int64 [m], and the number of sequences.

        All positions of a sequence are at most `seq_length`, and none is without a fragment.
        """
        ...


class BestFit:
    """Cuts only documents that are longer than a sequence; then best-fit decreasing."""

    def __init__(self, seq_length: int, prefix_fragments: bool):
        self._seq_length, self._prefix_fragments = seq_length, prefix_fragments

    def pack(self, lengths: DocumentLengths) -> tuple[Fragments, np.ndarray, int]:
        if self._prefix_fragments:
            cut = cut_documents(lengths, self._seq_length)
        else:
            cut, _ = cut_spans(lengths, self._seq_length, joined=False)
        return cut, *best_fit(cut.positions, self._seq_length)


def too_long_heads(lengths: DocumentLengths, seq_length: int) -> np.ndarray:
    """Documents whose metadata and labels leave no room for one body token; places, [k]."""
    needed = lengths.head + lengths.title_label + 1 + lengths.tail
    return np.flatnonzero(needed > seq_length + 1)


def cut_documents(lengths: DocumentLengths, seq_length: int) -> Fragments:
    """Fragments of each document: one where it fits, else full sequences and a remainder.

    Every body token is in exactly one fragment and no fragment of a cut document is without one.
    A title that leaves no room for a body token is cut. Documents of `too_long_heads` must not be
    given.
    """
    most = seq_length + 1
    head, body, tail = lengths.head, lengths.body, lengths.tail
    first_head = head + lengths.title_label
    title = np.minimum(lengths.title, most - first_head - 1 - tail)
    first_room = most - first_head - title
    later_room = most - head

    whole = body + tail <= first_room
    # One token stays for the last fragment, because EOS never stands without text before it.
    first_piece = np.where(whole, body, np.minimum(first_room, body - 1))
    rest = body - first_piece
    # Full fragments between the first and the last: the last also holds the tail.
    full = np.where(whole, 0, -(-np.maximum(rest - (later_room - tail), 0) // later_room))
    pieces = np.where(whole, 1, full + 2)

    document = np.repeat(np.arange(len(body)), pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    final = number == (pieces - 1)[document]
    reached = first_piece[document] + (number - 1) * later_room[document]
    start = np.where(number == 0, 0, np.minimum(reached, body[document] - 1))
    stop = np.where(final, body[document], np.roll(start, -1))
    kept_title = np.where(number == 0, title[document], 0)
    tokens = (
        head[document]
        + np.where(number == 0, (lengths.title_label + title)[document], 0)
        + (stop - start)
        + np.where(final, tail[document], 0)
    )
    bare = np.zeros(len(document), dtype=bool)
    return Fragments(document, start, stop, kept_title, final, tokens - 1, bare)


def cut_spans(
    lengths: DocumentLengths, seq_length: int, joined: bool
) -> tuple[Fragments, np.ndarray]:
    """Documents cut without regard to what stands where, and where each fragment is if `joined`.

    joined: the documents stand one behind the other and are cut where a sequence ends; else each
    is cut by itself after every `seq_length` positions, and the second array is meaningless.
    """
    positions = lengths.positions
    begin = np.cumsum(positions) - positions if joined else np.zeros_like(positions)
    first_sequence = begin // seq_length
    pieces = (begin + positions - 1) // seq_length - first_sequence + 1
    document = np.repeat(np.arange(len(positions)), pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    sequence = first_sequence[document] + number
    start = np.maximum(begin[document], sequence * seq_length) - begin[document]
    stop = np.minimum((begin + positions)[document], (sequence + 1) * seq_length) - begin[document]
    whole = (pieces == 1)[document]
    fragments = Fragments(
        document=document,
        start=start,
        stop=np.where(whole, lengths.body[document], stop),
        title=np.where(whole, lengths.title[document], 0),
        final=number == (pieces - 1)[document],
        positions=stop - start,
        bare=~whole,
    )
    return fragments, sequence


def best_fit(positions: np.ndarray, capacity: int) -> tuple[np.ndarray, int]:
    """Best-fit decreasing: the sequence of each item, int64 [m], and the number of sequences.

    Items go from the longest to the shortest, each into the fullest sequence that has room. Items
    of one length are placed together, and a bit mask over remaining capacities finds it, so the
    cost grows with the number of distinct lengths and hardly with the number of items.
    """
    order = np.argsort(-positions, kind="stable")
    lengths, counts = np.unique(positions, return_counts=True)
    if len(lengths) and not 0 < lengths[0] <= lengths[-1] <= capacity:
        raise ValueError(f"items take {lengths[0]} to {lengths[-1]} of {capacity} places")
    placed: list[int] = []  # sequences, in the order of `order`
    sequences_with: dict[int, list[int]] = {}  # remaining capacity -> sequences
    mask = 0  # bit r is set where sequences_with[r] is not empty
    num_sequences = 0
    for length, count in zip(lengths[::-1].tolist(), counts[::-1].tolist(), strict=True):
        while count:
            fits = mask >> length
            if fits:
                room = length + (fits & -fits).bit_length() - 1
                sequences = sequences_with[room]
            else:
                room = capacity
                opened = -(-count // (capacity // length))
                sequences = sequences_with[room] = list(
                    range(num_sequences, num_sequences + opened)
                )
                num_sequences += opened
                mask |= 1 << room
            # Best fit returns to the sequence it has just used for as long as that has room.
            each = min(room // length, count)
            chosen = sequences[: count // each]
            placed += chosen if each == 1 else np.repeat(chosen, each).tolist()
            left = room - each * length
            del sequences[: len(chosen)]
            if not sequences:
                mask ^= 1 << room
            if left:
                sequences_with.setdefault(left, []).extend(chosen)
                mask |= 1 << left
            count -= each * len(chosen)
    sequence_of = np.empty(len(positions), dtype=np.int64)
    sequence_of[order] = placed
    return sequence_of, num_sequences
