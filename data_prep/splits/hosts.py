"""Splits by host: which hosts are test and validation, whole.

A host counts for its home, the country that most of its documents are of. Hosts are taken in the
order of their draw, each if its documents still fit the home's quota: so a quota is never exceeded,
and a host that holds more than it is always in train. Validation has its fraction of each country
in the same way.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from data_prep.config import Splits
from data_prep.splits.draws import TEST_DRAW, VALIDATION_DRAW, contained, uniform_bits
from data_prep.splits.earlier import NOTHING, Settled
from data_prep.splits.quotas import first_fit, quota_by_fraction, quotas_by_continent
from data_prep.splits.rules import CODES, INDEX
from geo_nemo.common.counts import plural
from geo_nemo.common.errors import UserError
from geo_nemo.metadata.geography import UNKNOWN, continent_of

LEAST_FILLED = 0.9
_MERGE_AT = 1 << 20


@dataclass(frozen=True)
class Hosts:
    """Arrays [n], by rising unit: uint64 units, uint8 homes, int64 documents."""

    unit: np.ndarray
    home: np.ndarray
    documents: np.ndarray


class HostTally:
    """Documents by host and country, from a stream; 17 bytes a pair, and as much in a merge."""

    def __init__(self) -> None:
        self._unit = np.empty(0, np.uint64)
        self._country = np.empty(0, np.uint8)
        self._count = np.empty(0, np.int64)
        self._new: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._pending = 0

    def add(self, unit: np.ndarray, country: np.ndarray) -> None:
        """Count documents: units uint64 [n], countries uint8 [n]."""
        self._new.append(_summed(unit, country, np.ones(len(unit), np.int64)))
        self._pending += len(self._new[-1][0])
        if self._pending > max(_MERGE_AT, len(self._unit)):
            self._merge()

    def hosts(self) -> Hosts:
        """All hosts; the home is the country of most documents, the first by code among equals."""
        self._merge()
        order = np.lexsort((self._country, -self._count, self._unit))
        unit = self._unit[order]
        first = np.flatnonzero(np.concatenate([[True], unit[1:] != unit[:-1]])[: len(unit)])
        sums = np.add.reduceat(self._count[order], first) if len(first) else self._count
        return Hosts(unit[first], self._country[order][first], sums)

    def _merge(self) -> None:
        parts = [(self._unit, self._country, self._count), *self._new]
        self._unit, self._country, self._count = _summed(
            *(np.concatenate(column) for column in zip(*parts, strict=True))
        )
        self._new, self._pending = [], 0


def draw_hosts(
    hosts: Hosts, splits: Splits, seed: int, earlier: Settled = NOTHING
) -> tuple[np.ndarray, np.ndarray]:
    """Units of test and of validation, each uint64, sorted; with those that are so already."""
    held = {
        split: _by_home(hosts, contained(units, hosts.unit))
        for split, units in (("test", earlier.test), ("validation", earlier.validation))
    }
    totals = np.bincount(hosts.home, hosts.documents, len(CODES)).astype(np.int64)
    named = {CODES[i]: int(totals[i]) for i in np.flatnonzero(totals)}
    if splits.test_per_continent is not None:
        quotas = quotas_by_continent(splits, named, held=held["test"])
    else:
        quotas = {c: quota_by_fraction(splits, n, round(splits.test * n)) for c, n in named.items()}
    test, validation = [earlier.test], [earlier.validation]
    new = ~contained(earlier.seen_in(""), hosts.unit)
    for country, total in named.items():
        mine = new & (hosts.home == CODES.index(country))
        units, documents = hosts.unit[mine], hosts.documents[mine]
        for taken, draw, quota in (
            (test, TEST_DRAW, quotas[country] - held["test"].get(country, 0)),
            (
                validation,
                VALIDATION_DRAW,
                round(splits.validation * total) - held["validation"].get(country, 0),
            ),
        ):
            order = np.argsort(uniform_bits(units, seed, draw), kind="stable")
            chosen = np.sort(units[order][first_fit(documents[order], max(quota, 0))])
            taken.append(chosen)
            left = ~contained(chosen, units)
            units, documents = units[left], documents[left]
    found = _joined(test)
    if splits.test_per_continent is not None:
        _check_filled(hosts, found, splits.test_per_continent)
    return found, _joined(validation)


def _by_home(hosts: Hosts, chosen: np.ndarray) -> dict[str, int]:
    """Documents of the `chosen` hosts, bool [n], by country."""
    counts = np.bincount(hosts.home, hosts.documents * chosen, len(CODES)).astype(np.int64)
    return {CODES[i]: int(counts[i]) for i in np.flatnonzero(counts)}


def _check_filled(hosts: Hosts, test: np.ndarray, goal: int) -> None:
    """UserError where hosts are so large that whole ones leave much of the goal open."""
    given: Counter[str] = Counter()
    chosen = contained(test, hosts.unit)
    by_country = np.bincount(hosts.home, hosts.documents * chosen, len(CODES))
    for number in np.setdiff1d(hosts.home, INDEX[UNKNOWN]):
        given[continent_of(CODES[number])] += int(by_country[number])
    for continent, documents in sorted(given.items()):
        if documents < LEAST_FILLED * goal:
            raise UserError(
                f"splits.by=host: whole hosts give {continent} "
                f"{plural(documents, 'test document')} of splits.test_per_continent={goal}, for "
                "the others hold more than their country's share; raise it, or give "
                "splits.by=cluster"
            )


def _summed(
    unit: np.ndarray, country: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.lexsort((country, unit))
    unit, country, count = unit[order], country[order], count[order]
    new = np.ones(len(unit), bool)
    new[1:] = (unit[1:] != unit[:-1]) | (country[1:] != country[:-1])
    first = np.flatnonzero(new)
    sums = np.add.reduceat(count, first) if len(first) else count
    return unit[first], country[first], sums


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate([np.empty(0, np.uint64), *parts]))
