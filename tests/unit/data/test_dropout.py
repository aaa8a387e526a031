"""How documents are shown, by their bit masks: worked out by hand."""

import numpy as np
import pytest

from geo_nemo.config import MetadataPolicy
from geo_nemo.data.dropout import are_plain, fields_of, is_plain, kept_fields, mask_dtype, shown

FIELDS = ("url", "country")
MIXED = MetadataPolicy(fields=FIELDS, dropout=0.2, plain_dropout=0.3)
TOLD = MetadataPolicy(fields=FIELDS, field_dropout={"country": 0.25})
WITH, WITHOUT, PLAIN = range(3)


def test_the_bit_above_the_fields_is_plain_text_where_the_policy_has_some():
    kept = np.array([0, 1, 2, 3, 4], np.uint8)
    assert are_plain(MIXED, kept).tolist() == [False, False, False, False, True]
    assert [is_plain(MIXED, mask) for mask in kept.tolist()] == are_plain(MIXED, kept).tolist()
    assert shown(MIXED, kept).tolist() == [WITHOUT, WITH, WITH, WITH, PLAIN]
    assert are_plain(TOLD, kept[:4]).tolist() == [False] * 4
    assert shown(TOLD, kept[:4]).tolist() == [WITHOUT, WITH, WITH, WITH]
    assert [fields_of(MIXED, mask) for mask in (0, 1, 2, 3)] == [(), ("url",), ("country",), FIELDS]


@pytest.mark.parametrize("fields, size", [(1, 1), (7, 1), (8, 4), (31, 4), (32, 8)])
def test_masks_have_a_bit_for_each_field_and_one_for_plain_text(fields, size):
    names = [f"f{number}" for number in range(fields)]
    policy = MetadataPolicy.model_construct(
        fields=tuple(names), dropout=0.0, plain_dropout=0.5, field_dropout={}
    )
    kept = kept_fields(policy, 5, 0, np.arange(64))
    assert (kept.dtype, mask_dtype(policy).itemsize) == (mask_dtype(policy), size)
    assert set(kept.tolist()) == {2**fields - 1, 2**fields}


def test_what_is_told_nothing_is_no_plain_text_where_the_policy_has_none():
    policy = MetadataPolicy(dropout=0.5)
    kept = kept_fields(policy, 9, 1, np.arange(64))
    assert 0 in kept and not are_plain(policy, kept).any()
    assert not any(is_plain(policy, mask) for mask in kept.tolist())


def test_as_many_are_dropped_as_the_policy_says():
    documents = np.arange(20_000)
    counts = np.bincount(shown(MIXED, kept_fields(MIXED, 9, 1, documents)), minlength=3) / 20_000
    # Six standard deviations of a fraction of 20,000 draws: at most 6 * sqrt(.25 / 20,000).
    assert np.abs(counts - [0.5, 0.2, 0.3]).max() < 0.022
    kept = kept_fields(TOLD, 9, 1, documents)
    assert set(kept.tolist()) == {1, 3} and abs((kept == 1).mean() - 0.25) < 0.022
