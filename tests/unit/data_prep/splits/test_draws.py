"""Draws: uniform, independent, and the lowest of a stream."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_prep.splits.draws import Lowest, below, contained, uniform_bits

HASHES = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)


def test_draws_are_uniform_and_independent():
    a, b = (uniform_bits(HASHES, 0, draw) for draw in (0, 1))
    sequential = uniform_bits(np.arange(20_000, dtype=np.uint64), 0, 0)
    for bits in (a, b, sequential):
        counts = np.histogram(bits.astype(float) / 2**64, bins=10, range=(0, 1))[0]
        assert abs(counts - 2000).max() < 4 * 42.4  # four standard deviations
    assert abs(np.corrcoef(a.astype(float), b.astype(float))[0, 1]) < 0.03


def test_draws_stay_what_they_were():
    """SplitMix64's first outputs for the seed 1234567, as published with its reference code."""
    golden = 0x9E3779B97F4A7C15
    from data_prep.splits.draws import _mix

    states = np.array([(1234567 + i * golden) % 2**64 for i in range(3)], np.uint64)
    assert _mix(states).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip


def test_below_at_its_ends():
    ends = np.array([0, 2**63, 2**64 - 1], np.uint64)
    assert below(0.0, ends).tolist() == [False, False, False]
    assert below(0.5, ends).tolist() == [True, False, False]
    assert below(1.0, ends).tolist() == [True, True, False]


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=30), max_size=8), st.integers(1, 12))
def test_lowest_of_a_stream_are_the_lowest_of_all(batches, keep):
    lowest = Lowest(keep)
    for batch in batches:
        lowest.add(np.array(batch, np.uint64))
    numbers = sorted(number for batch in batches for number in batch)
    assert lowest.sorted().tolist() == numbers[:keep]
    assert lowest.total == len(numbers)


@given(st.sets(st.integers(0, 40)), st.lists(st.integers(0, 40)))
def test_contained_is_membership(members, values):
    ordered = np.array(sorted(members), np.uint64)
    found = contained(ordered, np.array(values, np.uint64))
    assert found.tolist() == [value in members for value in values]
