"""Pieces of power-of-two lengths: nothing lost or doubled, and one length a sequence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.common.errors import UserError
from geo_nemo.config import Data
from geo_nemo.data.brought_packing import make_packing, wrong_with
from geo_nemo.data.by_length import PARTS, ByLength
from geo_nemo.data.packing import DocumentLengths, too_long_heads

SEQUENCE = 64


def lengths_of(documents):
    columns = np.array(documents, dtype=np.int64).reshape(-1, 5).T
    return DocumentLengths(*columns)


documents = st.lists(
    st.tuples(st.integers(1, 20), st.integers(0, 3), st.integers(0, 30), st.integers(1, 300),
              st.integers(1, 9)), min_size=1, max_size=30)  # fmt: skip


@given(documents, st.booleans())
def test_no_token_is_lost_or_doubled_and_a_sequence_holds_one_length(documents, headed):
    lengths = lengths_of(documents)
    assert not len(too_long_heads(lengths, SEQUENCE))
    cut, sequence_of, number = ByLength(SEQUENCE, headed).pack(lengths)
    assert wrong_with(lengths, cut, sequence_of, number, SEQUENCE) == ""
    full = 1 << np.ceil(np.log2(np.maximum(cut.positions, SEQUENCE // PARTS))).astype(int)
    for sequence in range(number):
        mine = full[sequence_of == sequence]
        # A last piece is short of its length, and may be so by more than half where heads are long.
        assert len(mine) <= SEQUENCE // mine.max()
    if not headed:
        short = cut.positions < full
        assert cut.final[short].all(), "only what is left at a document's end is padded"


def test_by_hand():
    """100 positions without heads: 64, 32 and a rest of 4 in an eighth of a sequence."""
    lengths = lengths_of([(1, 0, 0, 99, 1), (1, 0, 0, 31, 1)])
    cut, sequence_of, number = ByLength(SEQUENCE, False).pack(lengths)
    found = list(zip(cut.document, cut.positions, cut.start, strict=True))
    assert found == [(0, 64, 0), (0, 32, 64), (0, 4, 96), (1, 32, 0)]
    # The two of 32 share a sequence.
    assert number == 3
    assert sequence_of[1] == sequence_of[3]
    assert len({*sequence_of[:3].tolist()}) == 3


def test_pieces_with_heads_by_hand():
    """40 positions: 32 with 26 of text; the 7 left go into 16 with a head, not into 8, 8 and 8."""
    cut, _, _ = ByLength(SEQUENCE, True).pack(lengths_of([(6, 1, 0, 33, 1)]))
    assert cut.positions.tolist() == [32, 13]
    assert cut.start.tolist() == [0, 26]
    assert cut.final.tolist() == [False, True]


def test_a_length_that_is_no_power_of_two_is_one_line():
    with pytest.raises(UserError, match=r"data.seq_length=1000 is none: give 512 or 1024"):
        make_packing(Data(store="s", seq_length=1000, packing="by_length"))
