"""Packing that joins documents, and pieces without a head, against plain loops."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geo_nemo.data.concat import concat
from geo_nemo.data.packing import DocumentLengths, cut_spans, too_long_heads


@st.composite
def documents(draw):
    """seq_length, and (head, label, title, body, tail) of each document."""
    seq_length = draw(st.integers(16, 24))
    each = st.tuples(
        st.integers(2, 8),
        st.sampled_from([0, 2]),
        st.integers(0, 25),
        st.integers(0, 80),
        st.integers(1, 4),
    )
    found = draw(st.lists(each, min_size=1, max_size=12))
    return seq_length, [(h, label, t if label else 0, b, e) for h, label, t, b, e in found]


def lengths_of(sequences) -> DocumentLengths:
    return DocumentLengths(*(np.array(column) for column in zip(*sequences, strict=True)))


def joined_with_heads(sequences, seq_length):
    """(document, start, stop, title, final, positions, sequence), one position at a time."""
    found, sequence, room = [], 0, seq_length
    for document, (head, label, title, body, tail) in enumerate(sequences):
        if head + label + title + body + tail - 1 > room:
            needs = head + label + title  # and one body token, less the last token's position
            if room < seq_length and (needs > room or body < 2):
                sequence, room = sequence + 1, seq_length
            if room == seq_length < head + label + title + body + tail - 1:
                title = min(title, seq_length + 1 - head - label - tail - 1)
        start, shown, front = 0, title, head + label + title
        while True:
            if front + (body - start) + tail - 1 <= room:
                positions = front + (body - start) + tail - 1
                found.append((document, start, body, shown, True, positions, sequence))
                room -= positions
                break
            stop = start
            while front + (stop + 1 - start) - 1 <= room and stop + 1 < body:
                stop += 1
            found.append((document, start, stop, shown, False, front + stop - start - 1, sequence))
            sequence, room, start, shown, front = sequence + 1, seq_length, stop, 0, head
    return found


@settings(max_examples=400)
@given(documents())
@example((16, [(2, 0, 0, 0, 1), (2, 2, 9, 0, 4)]))  # a title alone that fills a sequence
def test_concat_equals_a_plain_loop(case):
    seq_length, sequences = case
    lengths = lengths_of(sequences)
    assert len(too_long_heads(lengths, seq_length)) == 0
    cut, sequence_of, num_sequences = concat(lengths, seq_length)
    columns = (cut.document, cut.start, cut.stop, cut.title, cut.final, cut.positions, sequence_of)
    found = list(zip(*(column.tolist() for column in columns), strict=True))
    assert found == joined_with_heads(sequences, seq_length)
    assert not cut.bare.any()
    assert num_sequences == found[-1][-1] + 1
    assert np.bincount(sequence_of, cut.positions).max() <= seq_length


@given(documents(), st.booleans())
def test_spans_cut_every_position_once_and_fill_sequences(case, joined):
    seq_length, sequences = case
    lengths = lengths_of(sequences)
    cut, sequence_of = cut_spans(lengths, seq_length, joined)
    # One position at a time: where it stands, by document and by sequence.
    expected, place = [], 0
    for document, sequence in enumerate(sequences):
        place = place if joined else 0
        for position in range(sum(sequence) - 1):
            expected.append((document, position, place // seq_length))
            place += 1
    found = []
    for i, document in enumerate(cut.document.tolist()):
        start = int(cut.start[i])
        sequence = int(sequence_of[i]) if joined else start // seq_length
        found += [(document, p, sequence) for p in range(start, start + int(cut.positions[i]))]
    assert found == expected
    several = np.bincount(cut.document)[cut.document] > 1
    assert np.array_equal(cut.bare, several)
    assert cut.stop[~several].tolist() == lengths.body[cut.document][~several].tolist()
    assert cut.title[~several].tolist() == lengths.title[cut.document][~several].tolist()


def test_concatenate_and_chunk_golden():
    # 9 and 14 positions in sequences of 16: the second is cut after 7 of them.
    cut, sequence_of = cut_spans(lengths_of([(2, 0, 0, 7, 1), (2, 0, 0, 12, 1)]), 16, joined=True)
    assert sequence_of.tolist() == [0, 0, 1]
    assert cut.start.tolist() == [0, 0, 7]
    assert cut.stop.tolist() == [7, 7, 14]
    assert cut.bare.tolist() == [False, True, True]


def test_no_documents_take_no_sequences():
    none = DocumentLengths(*(np.empty(0, np.int64) for _ in range(5)))
    assert concat(none, 16)[2] == 0
    assert len(cut_spans(none, 16, True)[0].document) == 0
