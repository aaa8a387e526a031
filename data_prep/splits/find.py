"""Finds the rules of a corpus: passes over all its documents, a part at a time.

1. How many documents each country has, and which units may be test.
2. The splits: quotas of test documents by country, then validation.
3. What remains for train, by country, and a histogram of its draws where a country has a cap.
4. The draw at which a cap is reached: exact, from the one bin of the histogram that holds it.

In memory, beside one part's arrays (27 bytes a document of the part):
- by cluster and year, 32 bytes x test_max_per_country (or test_per_continent, if that is less) a
  country, however many documents there are;
- by host, 34 bytes a pair of host and country, and 24 more a host while they are drawn;
- with a cap of hosts, 17 bytes a host, and 16 bytes x the cap a host that has more;
- with caps, 32 KiB a country, and 8 bytes x 1/4096 of the documents of countries with a cap.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from data_prep.config import Balance, Splits
from data_prep.splits.draws import (
    ALL,
    BALANCE_DRAW,
    TEST_DRAW,
    Lowest,
    contained,
    fraction_limit,
    uniform_bits,
)
from data_prep.splits.earlier import NOTHING, Settled
from data_prep.splits.hosts import HostTally, draw_hosts
from data_prep.splits.outcomes import TRAIN
from data_prep.splits.quotas import first_fit, quota_by_fraction, quotas_by_continent
from data_prep.splits.rules import CODES, INDEX, Rows, Rules, keep_limits
from geo_nemo.common.errors import UserError

MOST_PASSES = 3
BINS = 4096
_BIN_SHIFT = np.uint64(64 - 12)
Pass = Callable[[], Iterable[Rows]]


def find_rules(
    passes: Pass,
    splits: Splits,
    balance: Balance,
    seed: int,
    listed: tuple[str, ...] = (),
    earlier: Settled = NOTHING,
) -> tuple[Rules, Settled, dict[str, int]]:
    """The rules for the documents that each call of `passes` gives, in any order.

    With them, what is settled for later runs, and documents by country.
    earlier: what is settled already.
    listed: countries that must have documents, and documents of train.
    Raises UserError where one has none, or a continent cannot give its test documents.
    """
    finder = {"cluster": _by_cluster, "host": _by_host, "year": _by_year}[splits.by]
    rules, settled, totals = finder(passes, splits, seed, listed, earlier)
    return _balanced(passes, rules, balance, totals, listed), settled, totals


# As `find_rules` gives them, before balance.
Found = tuple[Rules, Settled, dict[str, int]]


def _by_cluster(
    passes: Pass, splits: Splits, seed: int, listed: tuple[str, ...], earlier: Settled
) -> Found:
    limit = _most_in_country(splits)
    # Documents of units that are test already, by home.
    fixed = np.zeros(len(CODES), np.int64)
    # The home of a cluster may be another country than its documents'.
    countries = np.zeros(len(CODES), np.int64)
    # Units of several documents may not fit: the next ones after them are then wanted.
    lowest: dict[int, Lowest] = {}
    for rows in passes():
        countries += np.bincount(rows.country, minlength=len(CODES))
        draws = uniform_bits(rows.unit, seed, TEST_DRAW)
        held = contained(earlier.test, draws)
        fixed += np.bincount(rows.home[held], minlength=len(CODES))
        for country in np.unique(rows.home):
            found = lowest.setdefault(int(country), Lowest(2 * limit + 1))
            found.add(draws[(rows.home == country) & ~held])
    by_country = {CODES[number]: found for number, found in sorted(lowest.items())}
    held = {country: int(fixed[INDEX[country]]) for country in by_country}
    totals = {country: found.total + held[country] for country, found in by_country.items()}
    named = {CODES[i]: int(countries[i]) for i in np.flatnonzero(countries)}
    _check_present(named, listed)
    draws = {country: found.sorted() for country, found in by_country.items()}
    whole = {c for c, found in by_country.items() if found.total == len(draws[c])}
    fresh = {c: _fresh(draws[c], earlier.seen_in(c), earlier.known_in(c)) for c in totals}
    if splits.test_per_continent is not None:
        quotas = quotas_by_continent(splits, totals, held=held)
    else:
        fraction = np.uint64(fraction_limit(splits.test))
        quotas = {
            c: quota_by_fraction(
                splits,
                totals[c],
                held[c] + int(np.searchsorted(fresh[c], fraction)),
                earlier.totals.get(c, 0),
                earlier.given.get(c, 0),
            )
            for c in totals
        }
    chosen = {c: _units_that_fit(fresh[c], quotas[c] - held[c], whole=c in whole) for c in totals}
    test = sum(count for _, count in chosen.values()) + sum(held.values())
    part = splits.test if splits.test_per_continent is None else test / max(sum(totals.values()), 1)
    # Validation's share is one of all documents; it is drawn from those not in test.
    validation = fraction_limit(min(splits.validation / (1 - part), 1.0)) if part < 1 else 0
    if earlier.validation_limit is not None:
        validation = earlier.validation_limit
    new = _joined(units for units, _ in chosen.values())
    rules = Rules("cluster", seed, np.union1d(earlier.test, new), validation_limit=validation)
    seen, known = _seen(draws, whole, new, earlier, 2 * limit + 1)
    return rules, Settled(rules.test, rules.validation, validation, seen, known), named


def _by_host(
    passes: Pass, splits: Splits, seed: int, listed: tuple[str, ...], earlier: Settled
) -> Found:
    tally = HostTally()
    totals = np.zeros(len(CODES), np.int64)
    for rows in passes():
        tally.add(rows.unit, rows.country)
        totals += np.bincount(rows.country, minlength=len(CODES))
    named = {CODES[i]: int(totals[i]) for i in np.flatnonzero(totals)}
    _check_present(named, listed)
    hosts = tally.hosts()
    test, validation = draw_hosts(hosts, splits, seed, earlier)
    rules = Rules("host", seed, test, validation)
    seen = {"": np.union1d(earlier.seen_in(""), hosts.unit)}
    return rules, Settled(test, validation, rules.validation_limit, seen), named


def _by_year(
    passes: Pass, splits: Splits, seed: int, listed: tuple[str, ...], earlier: Settled
) -> Found:
    limit = _most_in_country(splits)
    totals = np.zeros(len(CODES), np.int64)
    lowest: dict[str, Lowest] = {}
    fixed = np.zeros(len(CODES), np.int64)
    for rows in passes():
        totals += np.bincount(rows.country, minlength=len(CODES))
        test = np.isin(rows.year, splits.test_years)
        draws = uniform_bits(rows.content[test], seed, TEST_DRAW)
        countries = rows.country[test]
        held = contained(earlier.test, draws)
        fixed += np.bincount(countries[held], minlength=len(CODES))
        draws, countries = draws[~held], countries[~held]
        for country in np.unique(countries):
            found = lowest.setdefault(CODES[country], Lowest(limit))
            found.add(draws[countries == country])
    named = {CODES[i]: int(totals[i]) for i in np.flatnonzero(totals)}
    _check_present(named, listed)
    held = {CODES[i]: int(fixed[i]) for i in np.flatnonzero(fixed)}
    available = dict(held)
    for country, found in lowest.items():
        available[country] = available.get(country, 0) + found.total
    if splits.test_per_continent is not None:
        quotas = quotas_by_continent(splits, named, available, held)
    else:
        quotas = {c: min(n, splits.test_max_per_country) for c, n in available.items()}
    new = _joined(
        found.sorted()[: max(quotas[c] - held.get(c, 0), 0)] for c, found in sorted(lowest.items())
    )
    test = np.union1d(earlier.test, new)
    rules = Rules("year", seed, test, test_years=splits.test_years,
                  validation_years=splits.validation_years)  # fmt: skip
    return rules, Settled(test, rules.validation, rules.validation_limit), named


def _balanced(
    passes: Pass,
    rules: Rules,
    balance: Balance,
    totals: dict[str, int],
    listed: tuple[str, ...],
) -> Rules:
    """`rules` with the limits of balance; UserError where a listed country has no train left."""
    rules = replace(rules, keep_limit=keep_limits(balance.keep))
    if balance.cap_host is not None:
        rules = _with_host_caps(passes, rules, balance.cap_host)
    caps = {c: balance.cap.get(c, balance.cap_all) for c in totals}
    caps = {c: cap for c, cap in caps.items() if cap is not None and cap < totals[c]}
    train = np.zeros(len(CODES), np.int64)
    bins = {c: np.zeros(BINS, np.int64) for c in caps}
    for rows in passes():
        kept = rules.outcomes(rows) == TRAIN
        train += np.bincount(rows.country[kept], minlength=len(CODES))
        for country, draws in _draws_of(rows, kept, caps, rules.seed):
            bins[country] += np.bincount((draws >> _BIN_SHIFT).astype(np.intp), minlength=BINS)
    empty = [c for c in listed if not train[INDEX[c]] and balance.keep.get(c) != 0]
    if empty:
        raise UserError(
            f"annotate.countries: no training document is left of {', '.join(empty)}, after splits "
            "and balance.keep; give more input, or other shares"
        )
    caps = {c: cap for c, cap in caps.items() if cap < train[INDEX[c]]}
    if not caps:
        return rules
    # The bin in which the cap is reached, and how many documents lie in those before it.
    sums = {c: np.cumsum(bins[c]) for c in caps}
    place = {c: int(np.searchsorted(sums[c], cap)) for c, cap in caps.items()}
    before = {c: int(sums[c][place[c] - 1]) if place[c] else 0 for c in caps}
    inside: dict[str, list[np.ndarray]] = {c: [] for c in caps}
    for rows in passes():
        kept = rules.outcomes(rows) == TRAIN
        for country, draws in _draws_of(rows, kept, caps, rules.seed):
            inside[country].append(draws[draws >> _BIN_SHIFT == place[country]])
    limits = {
        c: int(np.sort(np.concatenate(inside[c]))[cap - before[c] - 1]) for c, cap in caps.items()
    }
    return replace(rules, cap_limit=limits)


def _with_host_caps(passes: Pass, rules: Rules, cap: int) -> Rules:
    """`rules` with the draw at which each host that has more than `cap` reaches it."""
    tally = HostTally()
    for rows in passes():
        train = rules.outcomes(rows) == TRAIN
        tally.add(rows.host[train], np.zeros(int(train.sum()), np.uint8))
    hosts = tally.hosts()
    over = hosts.unit[hosts.documents > cap]
    lowest = [Lowest(cap) for _ in over]
    for rows in passes() if len(over) else ():
        mine = (rules.outcomes(rows) == TRAIN) & contained(over, rows.host)
        draws = uniform_bits(rows.content[mine], rules.seed, BALANCE_DRAW)
        places = np.searchsorted(over, rows.host[mine])
        order = np.argsort(places, kind="stable")
        found, starts = np.unique(places[order], return_index=True)
        for place, some in zip(found.tolist(), np.split(draws[order], starts[1:]), strict=True):
            lowest[place].add(some)
    limits = np.array([each.sorted()[-1] for each in lowest], np.uint64)
    return replace(rules, capped_hosts=over, host_limits=limits)


def _draws_of(rows: Rows, kept: np.ndarray, caps: dict[str, int], seed: int):
    """(country, uint64 draws of its `kept` documents) of the countries with a cap."""
    for number in np.unique(rows.country[kept]) if caps else ():
        if (country := CODES[number]) in caps:
            mine = kept & (rows.country == number)
            yield country, uniform_bits(rows.content[mine], seed, BALANCE_DRAW)


def _most_in_country(splits: Splits) -> int:
    """How many test documents a country can have at most."""
    return min(splits.test_max_per_country, splits.test_per_continent or ALL)


def _fresh(draws: np.ndarray, seen: np.ndarray, known: int) -> np.ndarray:
    """`draws` without those of documents that an earlier run had and did not hold out.

    seen: theirs up to the draw `known`: above that, old and new cannot be told apart.
    """
    return draws[~contained(seen, draws) & (draws <= np.uint64(known))]


def _seen(
    draws: dict[str, np.ndarray], whole: set[str], new: np.ndarray, earlier: Settled, most: int
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """`seen` and `known` of Settled after this run, at most `most` draws of a country.

    draws: of documents that were not test, from the lowest; all that there are in those of `whole`.
    new: what this run made test, sorted.
    """
    seen, known = {}, {}
    for country in sorted({*draws, *earlier.seen}):
        mine = draws.get(country, new[:0])
        limit = earlier.known_in(country)
        if country in draws and country not in whole:
            limit = min(limit, int(mine[-1]))
        found = np.union1d(mine, earlier.seen_in(country))
        found = found[~contained(new, found) & (found <= np.uint64(limit))]
        if len(found) > most:
            found = found[:most]
            limit = int(found[-1])
        seen[country] = found
        if limit < ALL:
            known[country] = limit
    return seen, known


def _units_that_fit(draws: np.ndarray, quota: int, whole: bool) -> tuple[np.ndarray, int]:
    """Units in the order of their draws, each taken if it does not exceed the quota.

    draws: sorted, one of each document; equal ones are one unit. whole: they are all there are;
    otherwise the last unit may have more documents, and is not taken.
    Draws of the units, and how many documents they have.
    """
    units, counts = np.unique(draws, return_counts=True)
    if not whole:
        units, counts = units[:-1], counts[:-1]
    taken = first_fit(counts, quota)
    return units[taken], int(counts[taken].sum())


def _check_present(totals: dict[str, int], listed: tuple[str, ...]) -> None:
    absent = [country for country in listed if not totals.get(country)]
    if absent:
        raise UserError(
            f"annotate.countries: no document from {', '.join(absent)}; give more input, or take "
            "them out of the list"
        )


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))
