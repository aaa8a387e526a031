"""Sequences: literal arrays, and a plain loop over tokens as an oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.data.sequences import SEQUENCE_ARRAYS, build_sequence, build_sequences
from geo_nemo.metadata.composed import KINDS_OF, LABEL_KINDS, SPLICED_KINDS, Composed
from geo_nemo.metadata.record import Kind

PAD, *_, TITLE, BODY, EOS = Kind


def composed(*parts: list[int]) -> Composed:
    """BOS, then metadata, title label, title, content label, body, metadata behind it, EOS."""
    return Composed(1, [np.array(part, np.int32) for part in parts])


FIRST = composed([20, 21], [30], [40], [31], [50], [], [2])
SECOND = composed([22, 21], [], [], [31], [60, 61], [], [])


def test_golden_sequence_of_two_fragments_and_padding():
    sequence = build_sequence([FIRST, SECOND], [4, 0], length=16, pad_id=9, mask_loss=True)
    assert sequence.tokens.tolist() == [1, 20, 21, 30, 40, 31, 50, 1, 22, 21, 31, 60, 9, 9, 9, 9]
    assert sequence.labels.tolist() == [20, 21, 30, 40, 31, 50, 2, 22, 21, 31, 60, 61, 9, 9, 9, 9]
    assert sequence.loss_mask.tolist() == [0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert sequence.position_ids.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert sequence.group_ids.tolist() == [4] * 7 + [0] * 5 + [-1] * 4
    assert sequence.segment_ids.tolist() == [0] * 7 + [1] * 5 + [-1] * 4
    assert sequence.label_kinds.tolist() == [2, 2, 3, 4, 3, 5, 6, 2, 2, 3, 5, 5, 0, 0, 0, 0]
    assert sequence.cu_seqlens.tolist() == [0, 7, 12, 16]
    assert sequence.max_seqlen == 7


def test_metadata_and_labels_are_trained_where_the_policy_says_so_and_padding_never_is():
    sequence = build_sequence([FIRST, SECOND], [4, 0], length=16, pad_id=9, mask_loss=False)
    assert sequence.loss_mask.tolist() == [1] * 12 + [0] * 4


def test_a_label_weighs_what_its_kind_does():
    weights = {"metadata": 0.25, "body": 2, "end": 0}
    sequence = build_sequence([FIRST], [4], 16, 9, mask_loss=True, loss_weights=weights)
    expected = {Kind.METADATA: 0.25, Kind.LABEL: 0, TITLE: 1, BODY: 2, EOS: 0, PAD: 0}
    kinds = sequence.label_kinds.tolist()
    assert {*expected} - {TITLE} <= {*kinds}
    assert sequence.loss_mask.tolist() == [expected[kind] for kind in kinds]
    assert sequence.loss_mask.dtype == np.float32


def test_a_fragment_as_long_as_the_sequence_leaves_no_padding_segment():
    sequence = build_sequence([FIRST], [4], length=7, pad_id=9, mask_loss=True)
    assert sequence.tokens.tolist() == [1, 20, 21, 30, 40, 31, 50]
    assert sequence.cu_seqlens.tolist() == [0, 7]
    assert sequence.max_seqlen == 7


def test_sequences_that_are_built_together_are_those_built_alone():
    alone = [[FIRST, SECOND], [SECOND], [FIRST], [SECOND, SECOND]]
    groups = [[4, 0], [1], [4], [1, 0]]
    block = build_sequences(list(zip(alone, groups, strict=True)), 12, pad_id=9, mask_loss=True)
    for number, (fragments, of) in enumerate(zip(alone, groups, strict=True)):
        sequence, single = block.sequence(number), build_sequence(fragments, of, 12, 9, True)
        assert all((getattr(sequence, n) == getattr(single, n)).all() for n in SEQUENCE_ARRAYS)
        assert (sequence.cu_seqlens.tolist(), sequence.max_seqlen) == (
            single.cu_seqlens.tolist(), single.max_seqlen
        )  # fmt: skip
    # Sequences from the second to the last but one, joined: their borders begin at 0.
    cu_seqlens, longest = block.borders(1, 3)
    assert cu_seqlens.tolist() == [0, 5, 12, 19, 24] and longest == 7


def test_a_title_and_a_body_of_two_parts_are_those_of_one():
    split = composed([20, 21], [30], [40], [], [31], [], [50], [], [2])
    for attribute in ("ids", "kinds"):
        assert np.array_equal(getattr(split, attribute), getattr(FIRST, attribute))
        assert np.array_equal(getattr(split.cut(2, 6), attribute),
                              getattr(FIRST.cut(2, 6), attribute))  # fmt: skip
    together = build_sequence([FIRST, SECOND], [4, 0], 16, 9, True)
    for fragments in ([split, SECOND], [FIRST, SECOND.spliced], [split, SECOND.spliced]):
        found = build_sequence(fragments, [4, 0], 16, 9, True)
        assert all((getattr(found, n) == getattr(together, n)).all() for n in SEQUENCE_ARRAYS)
        assert found.cu_seqlens.tolist() == together.cu_seqlens.tolist()


def test_numbers_of_parts_that_add_up_to_as_many_are_told_apart():
    nine = [composed(*[[]] * 3, [40], *[[]] * 5)] * 4
    seven = [composed(*[[]] * 2, [40], *[[]] * 4)] * 5
    for fragments in (nine + seven, seven + nine):
        found = build_sequence(fragments, [1] * 9, 9, 9, True)
        assert found.label_kinds.tolist() == [TITLE] * 9


def test_types_of_the_arrays():
    sequence = build_sequence([FIRST], [4], length=16, pad_id=9, mask_loss=True)
    types = {name: str(v.dtype) for name, v in vars(sequence).items() if name != "max_seqlen"}
    assert types == {
        "tokens": "int64",
        "labels": "int64",
        "position_ids": "int64",
        "loss_mask": "float32",
        "group_ids": "int16",
        "label_kinds": "uint8",
        "cu_seqlens": "int32",
    }
    assert type(sequence.max_seqlen) is int


def test_fragments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="12 positions of 11"):
        build_sequence([FIRST, SECOND], [4, 0], length=11, pad_id=9, mask_loss=True)


parts = st.lists(st.integers(3, 99), max_size=3)
assert {len(LABEL_KINDS), len(SPLICED_KINDS)} == set(KINDS_OF)
fragments = st.lists(
    st.one_of(st.lists(parts, min_size=n, max_size=n) for n in KINDS_OF).filter(any),
    min_size=1,
    max_size=5,
)


@given(fragments, st.integers(0, 3), st.booleans())
def test_sequences_equal_a_loop_over_tokens(case, padding, mask_loss):
    parts = [composed(*parts) for parts in case]
    length = sum(len(part.ids) - 1 for part in parts) + padding
    sequence = build_sequence(parts, list(range(len(parts))), length, 7, mask_loss)

    expected = []
    for number, part in enumerate(parts):
        for place in range(len(part.ids) - 1):
            kind = int(part.kinds[place + 1])
            trained = kind in (TITLE, BODY, EOS) or not mask_loss
            expected.append(
                (part.ids[place], part.ids[place + 1], place, trained, number, kind, number)
            )
    expected += [(7, 7, place, False, -1, PAD, -1) for place in range(padding)]
    columns = (
        sequence.tokens,
        sequence.labels,
        sequence.position_ids,
        sequence.loss_mask,
        sequence.group_ids,
    )
    columns += (sequence.label_kinds, sequence.segment_ids)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected

    starts = [place for place, position in enumerate(sequence.position_ids) if position == 0]
    assert sequence.cu_seqlens.tolist() == [*starts, length]
    assert sequence.max_seqlen == max(np.diff([*starts, length]))
