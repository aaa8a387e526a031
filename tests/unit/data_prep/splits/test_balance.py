"""Shares and caps by country: they take documents from train alone, by their draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.config import Balance, Splits
from data_prep.splits.draws import BALANCE_DRAW, uniform_bits
from data_prep.splits.find import find_rules
from data_prep.splits.outcomes import NOT_KEPT, OVER_CAP, TEST, TRAIN, VALIDATION
from data_prep.splits.rules import Rows
from geo_nemo.common.errors import UserError
from tests.unit.data_prep.splits.worlds import HASHES, chunked, rows

PLACES = np.array(["gb"] * 4000 + ["ke"] * 1000 + ["us"] * 3000)
ROWS = rows(PLACES)


def outcomes(balance, all_rows=ROWS, splits=Splits(), listed=(), chunk=900):  # noqa: B008
    rules, *_ = find_rules(lambda: chunked(all_rows, chunk), splits, balance, 5, listed)
    return rules.outcomes(all_rows)


plain_outcomes = outcomes(Balance())


def test_a_fraction_is_kept_of_train_alone():
    found = outcomes(Balance(keep={"gb": 0.25}))
    for split in (TEST, VALIDATION):
        assert ((found == split) == (plain_outcomes == split)).all()
    train = (plain_outcomes == TRAIN) & (PLACES == "gb")
    assert set(found[train]) == {TRAIN, NOT_KEPT}
    kept = (found[train] == TRAIN).sum()
    assert abs(kept - 0.25 * train.sum()) < 3 * np.sqrt(train.sum() * 0.25 * 0.75)
    assert (found[PLACES != "gb"] == plain_outcomes[PLACES != "gb"]).all()


def test_a_cap_counts_a_country_s_own_documents_whoever_leads_their_clusters():
    # 100 of ke, 60 of them in clusters that documents of us lead.
    units = [*range(60), *range(100, 140), *range(60), *range(200, 240)]
    places, homes = ["ke"] * 100 + ["us"] * 100, ["us"] * 60 + ["ke"] * 40 + ["us"] * 100
    near = rows(places, units, HASHES[:200], homes)
    all_train = Splits(train=1, validation=0, test=0)
    found = outcomes(Balance(cap={"ke": 50}), near, all_train)
    assert [(found[:100] == TRAIN).sum(), (found[100:] == TRAIN).sum()] == [50, 100]


def test_a_cap_leaves_exactly_so_many_those_with_the_lowest_draws():
    found = outcomes(Balance(cap={"gb": 1234}))
    train = (plain_outcomes == TRAIN) & (PLACES == "gb")
    draws = uniform_bits(HASHES[:8000], 5, BALANCE_DRAW)
    expected = set(np.sort(draws[train])[:1234].tolist())
    assert set(draws[found == TRAIN][PLACES[found == TRAIN] == "gb"].tolist()) == expected
    assert (found == OVER_CAP).sum() == train.sum() - 1234


def test_cap_all_holds_for_countries_without_a_cap_of_their_own():
    found = outcomes(Balance(cap={"gb": 2000}, cap_all=700))
    counts = {c: int((found[c == PLACES] == TRAIN).sum()) for c in ("gb", "ke", "us")}
    assert counts == {"gb": 2000, "ke": 700, "us": 700}


def test_a_cap_counts_what_the_fraction_kept():
    found = outcomes(Balance(keep={"gb": 0.5}, cap={"gb": 100}))
    mine = found[PLACES == "gb"]
    assert (mine == TRAIN).sum() == 100
    only_fraction = outcomes(Balance(keep={"gb": 0.5}))
    assert ((found == NOT_KEPT) == (only_fraction == NOT_KEPT)).all()


def test_a_smaller_fraction_keeps_a_part_of_what_a_larger_one_keeps():
    some = outcomes(Balance(keep={"gb": 0.2})) == TRAIN
    more = outcomes(Balance(keep={"gb": 0.6})) == TRAIN
    assert (some <= more).all()


def test_a_fraction_of_one_changes_nothing_and_of_zero_takes_all():
    assert (outcomes(Balance(keep={"gb": 1.0})) == plain_outcomes).all()
    found = outcomes(Balance(keep={"gb": 0.0}), listed=("gb", "ke"))
    assert ((found == NOT_KEPT) == ((plain_outcomes == TRAIN) & (PLACES == "gb"))).all()


def test_a_listed_country_that_loses_all_of_train_is_named():
    with pytest.raises(UserError, match="no training document is left of ke, after"):
        outcomes(Balance(keep={"ke": 1e-9}), listed=("gb", "ke"))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 97))
def test_a_cap_is_exact_whatever_the_number_and_the_chunks(number, cap, chunk):
    all_rows = rows(["gb"] * number)
    found = outcomes(Balance(cap_all=cap), all_rows, chunk=chunk)
    before = outcomes(Balance(), all_rows)
    assert (found == TRAIN).sum() == min(cap, (before == TRAIN).sum())


def test_a_cap_of_hosts_takes_the_lowest_draws_of_each():
    """Oracle: the documents of a host in the order of their draws."""
    hosts = HASHES[np.arange(3000) % 40 % 7]
    plain = rows(["gb", "ke"] * 1500)
    corpus = Rows(plain.unit, plain.country, plain.home, plain.content, plain.year, hosts)

    def chunks():
        for i in range(0, 3000, 700):
            s = slice(i, i + 700)
            yield Rows(*(getattr(corpus, n)[s] for n in
                         ("unit", "country", "home", "content", "year", "host")))  # fmt: skip

    splits = Splits(train=0.9, validation=0.05, test=0.05)
    before, *_ = find_rules(chunks, splits, Balance(), 5)
    after, *_ = find_rules(chunks, splits, Balance(cap_host=100, cap={"ke": 250}), 5)
    train = before.outcomes(corpus) == TRAIN
    found = after.outcomes(corpus)
    draws = uniform_bits(corpus.content, 5, BALANCE_DRAW)
    kept = np.zeros(3000, bool)
    for host in np.unique(hosts):
        mine = np.flatnonzero(train & (hosts == host))
        kept[mine[np.argsort(draws[mine])[:100]]] = True
    ke = np.flatnonzero(kept & (corpus.country == corpus.country[1]))
    kept[ke[np.argsort(draws[ke])[250:]]] = False
    assert ((found == TRAIN) == kept).all()
    assert ((found == OVER_CAP) == (train & ~kept)).all()
