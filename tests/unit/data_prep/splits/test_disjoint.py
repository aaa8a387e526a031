"""By host and by year, and the property of all three: no unit is in two splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_prep.config import Balance, Splits
from data_prep.splits.find import find_rules
from data_prep.splits.hosts import HostTally
from data_prep.splits.outcomes import OUTCOMES, OVER_CAP, TEST, TRAIN, VALIDATION
from data_prep.splits.rules import INDEX
from geo_nemo.common.errors import UserError
from geo_nemo.store.manifest import SPLITS
from tests.unit.data_prep.splits.worlds import HASHES, chunked, rows, take

YEARS = Splits(by="year", test_years=(2023, 2024), validation_years=(2022,))


def outcomes(all_rows, splits, balance=Balance(), seed=0, chunk=700):  # noqa: B008
    rules, *_ = find_rules(lambda: chunked(all_rows, chunk), splits, balance, seed)
    return rules.outcomes(all_rows)


@st.composite
def corpora(draw):
    """Documents in clusters (or hosts) of any size; a cluster's home is its first's country."""
    number = draw(st.integers(1, 120))
    units = draw(st.lists(st.integers(0, 40), min_size=number, max_size=number))
    places = st.sampled_from(["gb", "ie", "ke", "ng", "us"])
    countries = draw(st.lists(places, min_size=number, max_size=number))
    years = draw(st.lists(st.integers(2019, 2024), min_size=number, max_size=number))
    home: dict[int, str] = {}
    homes = [home.setdefault(u, c) for u, c in zip(units, countries, strict=True)]
    return rows(countries, HASHES[units], HASHES[1000 : 1000 + number], homes, years)


@settings(max_examples=150, deadline=None)
@given(
    corpora(),
    st.sampled_from(["cluster", "host", "year"]),
    st.integers(0, 5),
    st.integers(1, 50),
    st.sampled_from([Balance(), Balance(keep={"gb": 0.5}, cap_all=7)]),
    st.sampled_from([(0.94, 0.02, 0.04), (0.4, 0.3, 0.3), (0.7, 0.0, 0.3)]),
)
def test_no_unit_is_in_two_splits(all_rows, by, seed, chunk, balance, fractions):
    train, validation, test = fractions
    more = {"test_years": (2024,), "validation_years": (2020,)} if by == "year" else {}
    splits = Splits(by=by, train=train, validation=validation, test=test, **more)
    found = outcomes(all_rows, splits, balance, seed, chunk)
    units = all_rows.year if by == "year" else all_rows.unit
    for unit in np.unique(units):
        mine = {OUTCOMES[o] for o in found[units == unit]} & set(SPLITS)
        assert len(mine) <= 1


@settings(max_examples=60, deadline=None)
@given(corpora(), st.sampled_from(["cluster", "host", "year"]), st.randoms())
def test_order_and_chunks_change_no_document(all_rows, by, random):
    more = {"test_years": (2024,)} if by == "year" else {}
    splits = Splits(by=by, train=0.5, validation=0.2, test=0.3, **more)
    balance = Balance(keep={"ie": 0.5}, cap_all=9)
    order = list(range(len(all_rows)))
    random.shuffle(order)
    expected = outcomes(all_rows, splits, balance)[order]
    assert outcomes(take(all_rows, order), splits, balance, chunk=7).tolist() == expected.tolist()


def many_hosts():
    """4,000 documents of 200 hosts, of which one holds 1,000 and the others fewer and fewer."""
    random = np.random.default_rng(3)
    sizes = np.array([1000, *np.maximum(60 - np.arange(199) // 3, 1)])
    unit = np.repeat(HASHES[:200], sizes)
    homes = np.repeat(np.where(np.arange(200) % 2, "gb", "us"), sizes)
    # Every tenth document of a host is of another country; its home stays.
    place = np.concatenate([np.arange(size) for size in sizes])
    countries = np.where(place % 10 == 9, "ie", homes)
    return rows(countries, unit, random.integers(0, 2**64, len(unit), dtype=np.uint64)), homes


def test_by_host_each_country_has_its_fractions_as_far_as_whole_hosts_fill_them():
    all_rows, homes = many_hosts()
    found = outcomes(all_rows, Splits(by="host", train=0.7, validation=0.1, test=0.2))
    for home in ("gb", "us"):
        total = (homes == home).sum()
        assert 0.195 * total < (found[homes == home] == TEST).sum() <= round(0.2 * total)
        assert 0.095 * total < (found[homes == home] == VALIDATION).sum() <= round(0.1 * total)


def test_by_host_a_continent_gives_exactly_what_was_asked():
    all_rows, homes = many_hosts()
    found = outcomes(all_rows, Splits(by="host", test_per_continent=250))
    assert [(found[homes == home] == TEST).sum() for home in ("gb", "us")] == [250, 250]


def test_a_host_larger_than_the_quota_is_train():
    all_rows, _ = many_hosts()
    for seed in range(5):
        found = outcomes(all_rows, Splits(by="host", test_per_continent=250), seed=seed)
        assert (found[:1000] != TEST).all()


def test_hosts_too_large_to_fill_a_continents_test_set_are_an_error():
    all_rows = rows(["ke"] * 900, np.repeat(HASHES[:3], 300), HASHES[100:1000])
    with pytest.raises(UserError, match="whole hosts give Africa 0 test documents of"):
        outcomes(all_rows, Splits(by="host", test_per_continent=200))


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["gb", "ie", "us"])), max_size=20),
        max_size=6,
    )
)
def test_a_hosts_home_is_where_most_of_its_documents_are(batches):
    tally = HostTally()
    counts: dict[int, dict[str, int]] = {}
    for batch in batches:
        tally.add(
            np.array([u for u, _ in batch], np.uint64),
            np.array([INDEX[c] for _, c in batch], np.uint8),
        )
        for unit, country in batch:
            mine = counts.setdefault(unit, {})
            mine[country] = mine.get(country, 0) + 1
    hosts = tally.hosts()
    assert hosts.unit.tolist() == sorted(counts)
    for unit, home, documents in zip(hosts.unit, hosts.home, hosts.documents, strict=True):
        mine = counts[int(unit)]
        most = max(mine.values())
        assert documents == sum(mine.values())
        assert home == INDEX[min(c for c in mine if mine[c] == most)]


def test_by_year_whole_years_are_test_and_validation():
    years = np.array([0, 2020, 2021, 2022, 2023, 2024] * 100)
    found = outcomes(rows(["gb", "us"] * 300, years=years), YEARS)
    assert set(found[years >= 2023]) == {TEST}
    assert set(found[years == 2022]) == {VALIDATION}
    assert set(found[years < 2022]) == {TRAIN}  # the undated too


def test_by_year_spare_test_documents_are_left_out_never_trained_on():
    years = np.array([2021, 2024] * 300)
    countries = np.array(["gb"] * 400 + ["us"] * 200)
    splits = Splits(by="year", test_years=(2024,), test_per_continent=50)
    found = outcomes(rows(countries, years=years), splits)
    for country in ("gb", "us"):
        assert (found[(years == 2024) & (countries == country)] == TEST).sum() == 50
    assert set(found[years == 2024]) == {TEST, OVER_CAP}
    assert set(found[years == 2021]) == {TRAIN}


@pytest.mark.parametrize(
    "values",
    [
        {"train": 0.9},
        {"train": 0.94, "validation": 0.06, "test": 0.04},
        {"test": -0.1, "train": 1.08},
        {"test_min_per_country": 9, "test_max_per_country": 8},
        {"validation_years": (2020,)},
        {"by": "year"},
        {"by": "year", "test_years": (2020,), "validation_years": (2020, 2021)},
    ],
)
def test_splits_that_make_no_sense_are_refused(values):
    with pytest.raises(ValidationError):
        Splits(**values)
