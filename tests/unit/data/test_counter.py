"""Counter-based randomness: published values, bijections, fair shuffles."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.data.counter import derive_key, hash64, permute, uniform


def test_hash64_gives_the_published_splitmix64_stream():
    # First outputs of the reference C program for seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert hash64(1234567, np.arange(4)).tolist() == expected


@given(key=st.integers(0, 2**64 - 1), size=st.integers(1, 3000))
def test_permute_is_a_permutation(key, size):
    assert sorted(permute(key, size, np.arange(size)).tolist()) == list(range(size))


def test_permute_finds_a_place_without_the_others():
    whole = permute(7, 100_000, np.arange(100_000))
    places = np.array([99_999, 0, 5, 5, 31_337])
    assert permute(7, 100_000, places).tolist() == whole[places].tolist()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_order_of_a_few_is_about_as_frequent(size):
    draws = 3000
    orders = Counter(tuple(permute(key, size, np.arange(size)).tolist()) for key in range(draws))
    expected = draws / np.prod(range(1, size + 1))
    deviations = [(orders[o] - expected) / expected**0.5 for o in orders]
    assert len(orders) == np.prod(range(1, size + 1))
    assert max(map(abs, deviations)) < 4


def test_a_shuffle_leaves_no_trend():
    size = 20_000
    order = permute(3, size, np.arange(size))
    assert abs(np.corrcoef(np.arange(size), order)[0, 1]) < 4 / size**0.5
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 4 / size**0.5


def test_uniform_is_even():
    draw = uniform(11, np.arange(100_000))
    counts = np.histogram(draw, 10, (0, 1))[0]
    assert np.abs(counts - 10_000).max() < 4 * 10_000**0.5


def test_keys_depend_on_every_part_and_its_type():
    keys = [("a", 1), ("a", "1"), ("a1",), ("a", 2), ("b", 1), (1, "a")]
    assert len({derive_key(*parts) for parts in keys}) == len(keys)


def test_keys_do_not_depend_on_the_hash_seed():
    code = "from geo_nemo.data.counter import derive_key; print(derive_key(5, 'condition'))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert outputs == {f"{derive_key(5, 'condition')}\n"}
