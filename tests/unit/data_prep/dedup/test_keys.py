"""Ranges of keys, and copies of the first document with a key."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.dedup.keys import copies_of_first, partitions_of, sort_keys

FEW = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
keys = st.lists(st.tuples(st.sampled_from(FEW), st.sampled_from(FEW)), max_size=40)


def array(pairs) -> np.ndarray:
    return np.array(pairs, np.uint64).reshape(-1, 2)


def by_dict(pairs) -> list[list[int]]:
    first: dict = {}
    copies = [[i, first.setdefault(pair, i)] for i, pair in enumerate(pairs)]
    return [[i, j] for i, j in copies if i != j]


@given(keys, st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_partitions_together_find_the_copies_that_a_dictionary_does(pairs, partitions):
    ordered = sort_keys(array(pairs))
    found = []
    for i in range(partitions):
        part = ordered.range(i, partitions)
        found += copies_of_first(part.keys, part.rows.astype(np.int64)).tolist()
    assert sorted(found) == by_dict(pairs)


def test_keys_equal_in_their_first_64_bits_alone_are_no_copies():
    pairs = [(7, 1), (7, 2), (7, 1), (7, 3), (7, 2)]
    assert copies_of_first(array(pairs), np.arange(5)).tolist() == [[2, 0], [4, 1]]


def test_numbers_in_any_order_give_the_lowest_as_first():
    pairs, numbers = [(5, 5), (1, 1), (5, 5), (5, 5)], np.array([30, 2, 10, 20])
    assert copies_of_first(array(pairs), numbers).tolist() == [[20, 10], [30, 10]]


def test_rows_are_ascending_where_keys_are_equal_and_those_that_were_given():
    ordered = sort_keys(array([(2, 0), (1, 0), (2, 0)]), np.array([4, 6, 9]))
    assert ordered.rows.tolist() == [6, 4, 9]


@pytest.mark.parametrize(("entries", "expected"), [(0, 1), (1, 1), (10, 1), (11, 2), (95, 10)])
def test_a_partition_has_at_most_the_limit(entries, expected):
    assert partitions_of(entries, 10) == expected
