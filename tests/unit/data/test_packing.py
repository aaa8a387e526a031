"""Cutting and packing against plain loops that do one document, one item at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_nemo.data.packing import DocumentLengths, best_fit, cut_documents, too_long_heads


def best_fit_oracle(positions: list[int], capacity: int) -> list[int]:
    """Best-fit decreasing, one item at a time; how full the sequences get, sorted.

    Which of two equally full sequences takes an item is free, and does not change this.
    """
    sequences: list[list[int]] = []
    for length in sorted(positions, reverse=True):
        rooms = [(capacity - sum(sequence), place) for place, sequence in enumerate(sequences)]
        fitting = [room for room in rooms if room[0] >= length]
        if fitting:
            sequences[min(fitting)[1]].append(length)
        else:
            sequences.append([length])
    return sorted(map(sum, sequences))


@given(st.integers(1, 40).flatmap(
    lambda capacity: st.tuples(
        st.just(capacity), st.lists(st.integers(1, capacity), max_size=60)
    )
))  # fmt: skip
def test_best_fit_fills_sequences_as_one_at_a_time_does(case):
    capacity, positions = case
    sequence_of, num_sequences = best_fit(np.array(positions, dtype=np.int64), capacity)
    sequences: list[list[int]] = [[] for _ in range(num_sequences)]
    for sequence, length in zip(sequence_of.tolist(), positions, strict=True):
        sequences[sequence].append(length)
    assert sorted(map(sum, sequences)) == best_fit_oracle(positions, capacity)


def test_best_fit_golden():
    sequence_of, num_sequences = best_fit(np.array([3, 7, 5, 10, 2, 3]), 10)
    assert num_sequences == 3
    # 10 alone; 7 with the first 3; 5 with the other 3 and the 2.
    assert sequence_of[3] not in sequence_of[[0, 1, 2, 4, 5]]
    assert sequence_of[1] == sequence_of[0]
    assert sequence_of[2] == sequence_of[5] == sequence_of[4]


@pytest.mark.parametrize("positions", [[0, 3], [11]])
def test_best_fit_refuses_what_cannot_be_placed(positions):
    with pytest.raises(ValueError, match="of 10 places"):
        best_fit(np.array(positions), 10)


def cut_oracle(head, label, title, body, tail, seq_length):
    """Fragments (start, stop, title, final, positions) of one document, written as a loop."""
    most = seq_length + 1
    title = min(title, most - head - label - 1 - tail)
    fragments, reached, first = [], 0, True
    while True:
        before = head + (label + title if first else 0)
        if before + (body - reached) + tail <= most:
            positions = before + (body - reached) + tail - 1
            return [*fragments, (reached, body, title if first else 0, True, positions)]
        piece = most - before
        if reached + piece >= body:
            piece = body - reached - 1
        positions = before + piece - 1
        fragments.append((reached, reached + piece, title if first else 0, False, positions))
        reached, first = reached + piece, False


@st.composite
def documents(draw):
    seq_length = draw(st.integers(16, 24))
    count = draw(st.integers(1, 5))
    each = st.lists(
        st.tuples(
            st.integers(2, 8),
            st.sampled_from([0, 2]),
            st.integers(0, 25),
            st.integers(0, 80),
            st.integers(1, 4),
        ),
        min_size=count,
        max_size=count,
    )
    sequences = [(h, lab, t if lab else 0, b, e) for h, lab, t, b, e in draw(each)]
    return seq_length, sequences


@settings(max_examples=400)
@given(documents())
def test_cutting_equals_a_plain_loop(case):
    seq_length, sequences = case
    lengths = DocumentLengths(*(np.array(column) for column in zip(*sequences, strict=True)))
    assert len(too_long_heads(lengths, seq_length)) == 0
    cut = cut_documents(lengths, seq_length)
    expected = [
        (document, *fragment)
        for document, sequence in enumerate(sequences)
        for fragment in cut_oracle(*sequence, seq_length)
    ]
    columns = (cut.document, cut.start, cut.stop, cut.title, cut.final, cut.positions)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == expected


def lengths_of(head=3, label=0, title=0, body=0, tail=1) -> DocumentLengths:
    return DocumentLengths(*(np.array([value]) for value in (head, label, title, body, tail)))


@pytest.mark.parametrize(
    ("body", "spans"),
    [
        (0, [(0, 0)]),
        (1, [(0, 1)]),
        (13, [(0, 13)]),  # 3 + 13 + EOS = 17 tokens: exactly 16 positions
        (14, [(0, 13), (13, 14)]),  # text alone would fill the sequence: EOS takes one along
        (15, [(0, 14), (14, 15)]),
        (27, [(0, 14), (14, 27)]),
        (28, [(0, 14), (14, 27), (27, 28)]),
    ],
)
def test_where_a_long_body_is_cut(body, spans):
    cut = cut_documents(lengths_of(body=body), 16)
    assert list(zip(cut.start.tolist(), cut.stop.tolist(), strict=True)) == spans
    assert cut.final.tolist() == [False] * (len(spans) - 1) + [True]
    assert cut.positions.max() <= 16


def test_a_title_longer_than_the_sequence_leaves_one_body_token_and_room_for_eos():
    cut = cut_documents(lengths_of(label=1, title=50, body=2), 16)
    assert cut.title.tolist() == [11, 0]
    assert cut.stop.tolist() == [1, 2]
    assert cut.positions.tolist() == [15, 4]


def test_heads_that_leave_no_room_for_text_are_found():
    assert too_long_heads(lengths_of(head=15, body=1), 16).tolist() == []
    assert too_long_heads(lengths_of(head=16, body=1), 16).tolist() == [0]
    assert too_long_heads(lengths_of(head=14, label=2, body=1), 16).tolist() == [0]
    assert too_long_heads(lengths_of(head=10, body=1, tail=7), 16).tolist() == [0]
