"""Splits by cluster: shares, quotas, and what a document's split may depend on."""

import numpy as np
import pytest

from data_prep.config import Balance, Splits
from data_prep.splits.find import find_rules
from data_prep.splits.outcomes import TEST, TRAIN, VALIDATION
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.splits.worlds import HASHES, chunked, rows, take

DEFAULT = Splits()


def split(found_rows, splits=DEFAULT, seed=0, chunk=700, **settings):
    rules, *_ = find_rules(lambda: chunked(found_rows, chunk), splits, Balance(), seed, **settings)
    return rules.outcomes(found_rows)


def test_fractions_of_a_large_country():
    found = split(rows(["gb"] * 20_000))
    # Three standard deviations of a binomial: 20,000 x .04 +- 83, 20,000 x .02 +- 59.
    assert abs((found == TEST).sum() - 800) < 84
    assert abs((found == VALIDATION).sum() - 400) < 60


def test_the_same_documents_are_drawn_as_by_the_first_version():
    """So that a corpus which was split before keeps its test set; oracle: the draws written out."""
    countries = ["gb"] * 3000 + ["ke"] * 1000

    def mix(x):
        x = (x + 0x9E3779B97F4A7C15) % 2**64
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    test, validation = (
        [mix(int(h) ^ mix(3 * 4 + draw)) / 2**64 for h in HASHES[:4000]] for draw in (0, 1)
    )
    expected = [
        TEST if t < 0.04 else VALIDATION if v < 0.02 / 0.96 else TRAIN
        for t, v in zip(test, validation, strict=True)
    ]
    assert split(rows(countries), seed=3).tolist() == expected


def test_a_small_country_has_its_minimum_for_test():
    countries = ["gb"] * 1000 + ["na"] * 10 + ["tv"] * 5 + ["nu"] * 4 + ["xk"]
    found = split(rows(countries))
    counts = {c: int((found[np.array(countries) == c] == TEST).sum()) for c in set(countries)}
    assert counts["na"] == 2  # the minimum, which is a fifth of ten
    assert counts["tv"] == 1  # a fifth of five
    assert counts["nu"] in (0, 1, 2)  # by share alone, never more than half
    assert counts["xk"] == 0  # its only document stays out of test


def test_a_large_country_has_its_maximum_for_test():
    found = split(rows(["gb"] * 20_000), Splits(test_max_per_country=100))
    assert (found == TEST).sum() == 100


def test_the_maximum_takes_the_same_documents_as_the_fraction_would_first():
    few = split(rows(["gb"] * 20_000), Splits(test_max_per_country=100)) == TEST
    many = split(rows(["gb"] * 20_000)) == TEST
    assert (few <= many).all()


def test_chunks_and_order_do_not_matter():
    all_rows = rows(["gb", "ke", "us", "us"] * 500)
    expected = split(all_rows)
    assert (split(all_rows, chunk=1999) == expected).all()
    order = np.random.default_rng(1).permutation(2000)
    assert (split(take(all_rows, order)) == expected[order]).all()


def test_another_seed_draws_other_documents():
    all_rows = rows(["gb"] * 20_000)
    both = (split(all_rows, seed=0) == TEST) & (split(all_rows, seed=1) == TEST)
    assert both.sum() < 70  # 20,000 x .04 x .04 = 32 by chance


def test_no_test_and_no_validation_leave_all_to_train():
    found = split(rows(["gb"] * 1000), Splits(train=1, validation=0, test=0))
    assert (found == TRAIN).all()


def test_test_documents_by_continent_are_exactly_as_many_as_asked():
    countries = np.array(["gb"] * 3000 + ["ie"] * 1000 + ["ke"] * 520 + ["us"] * 2000)
    found = split(rows(countries), Splits(test_per_continent=250))
    counts = {c: int((found[countries == c] == TEST).sum()) for c in ("gb", "ie", "ke", "us")}
    assert counts == {"gb": 188, "ie": 62, "ke": 250, "us": 250}
    # Validation keeps its fraction of all documents: 6,520 x .02 = 130, +- three deviations.
    assert abs((found == VALIDATION).sum() - 130) < 35


def test_documents_of_a_cluster_stay_together_with_their_leaders_country():
    # 300 clusters of 1 to 4 documents, some of them in another country than their leader.
    random = np.random.default_rng(2)
    sizes = random.integers(1, 5, 300)
    unit = np.repeat(HASHES[:300], sizes)
    homes = np.repeat(random.choice(["gb", "ke"], 300), sizes)
    countries = np.where(random.random(len(unit)) < 0.3, "us", homes)
    all_rows = rows(countries, unit, HASHES[1000 : 1000 + len(unit)], homes)
    found = split(all_rows, Splits(test_per_continent=60), chunk=11)
    for name in HASHES[:300]:
        assert len(set(found[unit == name])) == 1
    assert [(found[homes == c] == TEST).sum() for c in ("gb", "ke")] == [60, 60]


def test_a_cluster_larger_than_the_quota_is_never_test():
    units = [7] * 400 + list(range(1000, 1600))
    found = split(rows(["gb"] * 1000, units, HASHES[:1000]), Splits(test_per_continent=100), seed=1)
    assert (found[:400] != TEST).all()
    assert (found == TEST).sum() == 100


def test_a_listed_country_without_documents_is_named():
    with pytest.raises(UserError, match="no document from fr, za;"):
        split(rows(["gb", "ke"] * 10), listed=("gb", "fr", "za", "ke"))


def test_a_listed_country_has_documents_also_where_others_lead_their_clusters():
    found = rows(["ke"] * 50 + ["us"] * 50, [*range(50)] * 2, HASHES[:100], ["us"] * 100)
    split(found, listed=("ke", "us"))
