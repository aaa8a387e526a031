"""Splits: shares, quotas by country, and what a document's split may depend on."""

import numpy as np
import pytest
from pydantic import ValidationError

from data_prep.narrow_config import Splits
from data_prep.split import TEST, TRAIN, VALIDATION, Assignment, TestQuota, below, uniform_bits

HASHES = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
DEFAULT = Splits()


def assign(countries: list[str], splits: Splits = DEFAULT, seed: int = 0, batch: int = 700):
    hashes = HASHES[: len(countries)]
    quota = TestQuota(splits, seed)
    for i in range(0, len(countries), batch):
        quota.add(countries[i : i + batch], hashes[i : i + batch])
    return Assignment(splits, seed, quota.thresholds()).split_of(countries, hashes)


def test_shares_of_a_large_country():
    split = assign(["gb"] * 20_000)
    # Three standard deviations of a binomial: 20,000 x .04 +- 83, 20,000 x .02 +- 59.
    assert abs((split == TEST).sum() - 800) < 84
    assert abs((split == VALIDATION).sum() - 400) < 60


def test_a_small_country_has_its_minimum_for_test():
    split = assign(["gb"] * 1000 + ["na"] * 10 + ["tv"] * 5 + ["nu"] * 4 + ["xk"])
    countries = np.array(["gb"] * 1000 + ["na"] * 10 + ["tv"] * 5 + ["nu"] * 4 + ["xk"])
    counts = {c: int((split[countries == c] == TEST).sum()) for c in ("na", "tv", "nu", "xk")}
    assert counts["na"] == 2  # the minimum, which is a fifth of ten
    assert counts["tv"] == 1  # a fifth of five
    assert counts["nu"] in (0, 1, 2)  # by share alone, never more than half
    assert counts["xk"] == 0  # its only document stays out of test


def test_a_large_country_has_its_maximum_for_test():
    split = assign(["gb"] * 20_000, Splits(test_max_per_country=100))
    assert (split == TEST).sum() == 100


def test_the_maximum_takes_the_same_documents_as_the_share_would_first():
    few = assign(["gb"] * 20_000, Splits(test_max_per_country=100)) == TEST
    many = assign(["gb"] * 20_000) == TEST
    assert (few <= many).all()


def test_batches_and_order_do_not_matter():
    countries = ["gb", "ke", "us", "us"] * 500
    expected = assign(countries)
    assert (assign(countries, batch=1999) == expected).all()
    order = np.random.default_rng(1).permutation(2000)
    quota = TestQuota(Splits(), 0)
    shuffled = [countries[i] for i in order]
    quota.add(shuffled, HASHES[:2000][order])
    found = Assignment(Splits(), 0, quota.thresholds()).split_of(shuffled, HASHES[:2000][order])
    assert (found == expected[order]).all()


def test_another_seed_draws_other_documents():
    countries = ["gb"] * 20_000
    both = (assign(countries, seed=0) == TEST) & (assign(countries, seed=1) == TEST)
    assert both.sum() < 70  # 20,000 x .04 x .04 = 32 by chance


def test_no_test_and_no_validation_leave_all_to_train():
    split = assign(["gb"] * 1000, Splits(train=1, validation=0, test=0))
    assert (split == TRAIN).all()


def test_draws_are_uniform_and_independent():
    a, b = (uniform_bits(HASHES, 0, draw) for draw in (0, 1))
    sequential = uniform_bits(np.arange(20_000, dtype=np.uint64), 0, 0)
    for bits in (a, b, sequential):
        counts = np.histogram(bits.astype(float) / 2**64, bins=10, range=(0, 1))[0]
        assert abs(counts - 2000).max() < 4 * 42.4  # four standard deviations
    assert abs(np.corrcoef(a.astype(float), b.astype(float))[0, 1]) < 0.03


def test_below_at_its_ends():
    ends = np.array([0, 2**63, 2**64 - 1], np.uint64)
    assert below(0.0, ends).tolist() == [False, False, False]
    assert below(0.5, ends).tolist() == [True, False, False]
    assert below(1.0, ends).tolist() == [True, True, False]


@pytest.mark.parametrize(
    "values",
    [
        {"train": 0.9},
        {"train": 0.94, "validation": 0.06, "test": 0.04},
        {"test": -0.1, "train": 1.08},
        {"test_min_per_country": 9, "test_max_per_country": 8},
    ],
)
def test_shares_that_make_no_whole_are_refused(values):
    with pytest.raises(ValidationError):
        Splits(**values)
