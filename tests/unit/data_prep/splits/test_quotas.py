"""Quotas of test documents by country."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.config import Splits
from data_prep.splits.quotas import first_fit, quota_by_fraction, quotas_by_continent, shared_out
from geo_nemo.common.errors import UserError


def test_quotas_are_shared_out_as_the_documents_are():
    splits = Splits(test_per_continent=100)
    assert quotas_by_continent(splits, {"gb": 600, "ie": 300, "fr": 100, "ke": 200}) == {
        "gb": 60, "ie": 30, "fr": 10, "ke": 100,
    }  # fmt: skip


def test_a_small_country_has_its_least_and_the_others_fraction_the_rest():
    splits = Splits(test_per_continent=100, test_min_per_country=8)
    quotas = quotas_by_continent(splits, {"gb": 6000, "ie": 2900, "mt": 40, "sm": 10})
    # 40 documents give 8, a fifth; 10 give 2, a fifth; 90 are shared 6000 to 2900.
    assert quotas == {"gb": 61, "ie": 29, "mt": 8, "sm": 2}


def test_no_country_gives_more_than_half():
    splits = Splits(test_per_continent=100, test_min_per_country=0)
    assert quotas_by_continent(splits, {"gb": 199, "ie": 5}) == {"gb": 98, "ie": 2}


def test_a_continent_without_twice_as_many_is_named():
    with pytest.raises(UserError, match="Africa has 199 documents, not twice as many"):
        quotas_by_continent(Splits(test_per_continent=100), {"gb": 300, "ke": 100, "ng": 99})


def test_bounds_that_leave_no_way_are_named():
    with pytest.raises(UserError, match=r"Europe can give 50 .*test_max_per_country=50"):
        quotas_by_continent(Splits(test_per_continent=100, test_max_per_country=50), {"gb": 10_000})
    with pytest.raises(UserError, match="test_min_per_country=60 alone makes 120 in Europe"):
        quotas_by_continent(
            Splits(test_per_continent=100, test_min_per_country=60), {"gb": 900, "ie": 900}
        )


def test_test_years_alone_must_give_the_goal():
    splits = Splits(by="year", test_years=(2024,), test_per_continent=10)
    totals = {"gb": 100, "ie": 100}
    assert quotas_by_continent(splits, totals, {"gb": 12, "ie": 4}) == {"gb": 8, "ie": 2}
    with pytest.raises(UserError, match=r"Europe can give 9 \(the test years alone"):
        quotas_by_continent(splits, totals, {"gb": 9})


@given(st.data())
def test_fractions_add_up_inside_their_bounds_and_follow_the_weights(data):
    weights = data.draw(st.lists(st.integers(0, 1000), min_size=1, max_size=12))
    most = [data.draw(st.integers(0, 1000)) for _ in weights]
    least = [data.draw(st.integers(0, m)) for m in most]
    most = [m if w else n for w, m, n in zip(weights, most, least, strict=True)]
    goal = data.draw(st.integers(sum(least), sum(most)))
    names = [f"{number:02d}" for number in range(len(weights))]

    def by_name(values):
        return dict(zip(names, values, strict=True))

    found = shared_out(goal, by_name(weights), by_name(least), by_name(most))
    quotas = [found[name] for name in names]
    assert sum(quotas) == goal
    assert all(a <= q <= b for a, q, b in zip(least, quotas, most, strict=True))
    # Where no bound holds either, more weight never gets less.
    free = [(w, q) for w, q, a, b in zip(weights, quotas, least, most, strict=True) if a < q < b]
    for weight, quota in free:
        assert all(quota >= other - 1 for w, other in free if w <= weight)


@pytest.mark.parametrize(
    ("total", "in_fraction", "expected"),
    [(1000, 40, 40), (10, 0, 2), (5, 0, 1), (4, 0, 0), (1, 1, 0), (10**6, 40_000, 5000)],
)
def test_quota_by_fraction_between_least_most_and_half(total, in_fraction, expected):
    assert quota_by_fraction(Splits(), total, in_fraction) == expected


def test_first_fit_takes_each_that_still_fits():
    assert first_fit(np.array([3, 9, 2, 4, 1, 1]), 7).tolist() == [0, 2, 4, 5]
    assert first_fit(np.array([3, 9]), 0).tolist() == []
