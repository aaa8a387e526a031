"""What a table of outlets changes: against the default, and in a corpus that is prepared."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from data_prep.annotate.origin import OriginRules
from data_prep.annotate.outlets import NONE, Row, default_outlets
from data_prep.annotate.urls import parse_url
from data_prep.quarantine import Rejected
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore

Change = Literal["new", "other country", "same"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row of a user's table beside what holds without it.

    before: the country so far; None where it was unknown.
    by: what told it: `outlet`, `domain`, `likely`, or empty.
    """

    row: Row
    change: Change
    before: str | None
    by: str


@dataclass(frozen=True, slots=True)
class HostChange:
    """A host of a store for which another table gives another country.

    documents: of the host, by the country they have in the store.
    """

    host: str
    before: str | None
    after: str | None
    documents: dict[str, int]


def compare(rows: list[Row]) -> list[Comparison]:
    """What each row changes against the default table and the national domains."""
    rules = OriginRules(default_outlets())
    compared = []
    for row in rows:
        before, by = rules.of_url(parse_url(f"https://{row.host}/"))
        same = (before or NONE) == row.country
        change: Change = "same" if same else "other country" if before else "new"
        compared.append(Comparison(row, change, before, by))
    return compared


def store_changes(
    store: TokenStore, before: dict[str, str], after: dict[str, str]
) -> list[HostChange]:
    """The hosts of `store` that table `after` gives another country than `before` does.

    Those with most documents come first. Memory: 12 bytes a document.
    """
    old, new = OriginRules(before), OriginRules(after)
    changed: dict[int, tuple[str | None, str | None]] = {}
    for number, host in enumerate(store.hosts):
        pair = _country(old, host), _country(new, host)
        if pair[0] != pair[1]:
            changed[number] = pair
    counts = _documents(store, np.fromiter(changed, np.int64, len(changed)))
    changes = [
        HostChange(store.hosts[number], *pair, dict(counts[number].most_common()))
        for number, pair in changed.items()
    ]
    return sorted(changes, key=lambda c: (-sum(c.documents.values()), c.host))


def dropped_changes(
    output: Path, before: dict[str, str], after: dict[str, str]
) -> list[HostChange]:
    """The hosts of a preparation whose documents were dropped for no country, and that get one.

    Their documents are counted as `dropped`. Empty where `output` kept no work.
    """
    from data_prep.ingest import unplaced_of

    old, new = OriginRules(before), OriginRules(after)
    try:
        found = unplaced_of(output)
    except UserError:
        return []
    return [
        HostChange(host, None, country, {"dropped": weight.dropped})
        for host, weight in found.heaviest()
        if weight.dropped and _country(old, host) is None and (country := _country(new, host))
    ]


def _country(rules: OriginRules, host: str) -> str | None:
    try:
        return rules.host_country(host)[0]
    except Rejected:
        return None


def _documents(store: TokenStore, wanted: np.ndarray) -> dict[int, Counter[str]]:
    """Documents by country of each of the hosts `wanted` [n], over all splits."""
    counts: dict[int, Counter[str]] = {int(host): Counter() for host in wanted}
    countries = len(store.countries)
    for name, entry in store.manifest.splits.items():
        if entry.documents and counts:
            split = store.split(name)
            chosen = np.isin(split.host, wanted)
            keys = split.host[chosen].astype(np.int64) * countries + split.country[chosen]
            for key, number in zip(*np.unique(keys, return_counts=True), strict=True):
                host, country = divmod(int(key), countries)
                counts[host][store.countries[country]] += int(number)
    return counts
