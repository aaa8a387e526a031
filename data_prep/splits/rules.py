"""The rules that say which split a document is in, and the outcome of documents under them."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from data_prep.splits.draws import (
    ALL,
    BALANCE_DRAW,
    TEST_DRAW,
    VALIDATION_DRAW,
    contained,
    fraction_limit,
    uniform_bits,
)
from data_prep.splits.outcomes import NOT_KEPT, OVER_CAP, TEST, TRAIN, VALIDATION
from geo_nemo.metadata.geography import UNKNOWN, countries

By = Literal["cluster", "host", "year"]
# A country's number here, one byte a document.
CODES = (*sorted(countries()), UNKNOWN)
INDEX = {code: number for number, code in enumerate(CODES)}


@dataclass(frozen=True)
class Rows:
    """Documents that deduplication kept; each an array [n].

    unit: uint64, equal for what must stay together; not used by year.
    country: uint8, index into CODES. home: uint8, the country that answers for the whole unit.
    content: uint64, the first 8 bytes of the hash of the text. year: int16, 0 where unknown.
    host: uint64, where hosts have a cap.
    """

    unit: np.ndarray
    country: np.ndarray
    home: np.ndarray
    content: np.ndarray
    year: np.ndarray
    host: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.unit)


@dataclass(frozen=True)
class Rules:
    """How documents are split and balanced.

    test: uint64, sorted; by cluster the draws of its units, by host its units, by year the draws
        of its documents. Empty where nothing is test.
    validation: by host, its units. validation_limit: by cluster, draws below it are validation.
    capped_hosts: uint64, sorted, hosts over their cap; host_limits: the last draw of each that is
        kept.
    keep_limit, cap_limit: by country, the first draw that is not kept, and the last that is.
    """

    by: By
    seed: int
    test: np.ndarray
    validation: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    validation_limit: int = 0
    test_years: tuple[int, ...] = ()
    validation_years: tuple[int, ...] = ()
    keep_limit: dict[str, int] = field(default_factory=dict)
    cap_limit: dict[str, int] = field(default_factory=dict)
    capped_hosts: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    host_limits: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))

    def outcomes(self, rows: Rows) -> np.ndarray:
        """uint8 [n]: indices into OUTCOMES, of splits and balance."""
        found = self.splits(rows)
        draws = uniform_bits(rows.content, self.seed, BALANCE_DRAW)
        train = found == TRAIN
        if self.keep_limit:
            some, limit = _by_country(self.keep_limit, 0)
            gone = some[rows.country] & (draws >= limit[rows.country])
            found[train & gone] = NOT_KEPT
        if len(self.capped_hosts):
            place = np.searchsorted(self.capped_hosts, rows.host)
            place = np.minimum(place, len(self.capped_hosts) - 1)
            over = self.capped_hosts[place] == rows.host
            found[(found == TRAIN) & over & (draws > self.host_limits[place])] = OVER_CAP
        if self.cap_limit:
            limit = _by_country(self.cap_limit, ALL)[1]
            found[(found == TRAIN) & (draws > limit[rows.country])] = OVER_CAP
        return found

    def splits(self, rows: Rows) -> np.ndarray:
        """uint8 [n]: the same before balance: a split, or OVER_CAP for spare test documents."""
        found = np.full(len(rows), TRAIN, np.uint8)
        if self.by == "cluster":
            draws = uniform_bits(rows.unit, self.seed, VALIDATION_DRAW)
            found[draws < np.uint64(self.validation_limit)] = VALIDATION
            found[contained(self.test, uniform_bits(rows.unit, self.seed, TEST_DRAW))] = TEST
        elif self.by == "host":
            found[contained(self.validation, rows.unit)] = VALIDATION
            found[contained(self.test, rows.unit)] = TEST
        else:
            found[np.isin(rows.year, self.validation_years)] = VALIDATION
            held_out = np.isin(rows.year, self.test_years)
            drawn = contained(self.test, uniform_bits(rows.content, self.seed, TEST_DRAW))
            found[held_out] = np.where(drawn[held_out], TEST, OVER_CAP)
        return found

    def to_json(self) -> dict[str, Any]:
        """All but the arrays, as plain JSON; limits as text, for they exceed JSON's numbers."""
        return {
            "by": self.by,
            "seed": self.seed,
            "validation_limit": str(self.validation_limit),
            "test_years": list(self.test_years),
            "validation_years": list(self.validation_years),
            "keep_limit": {c: str(v) for c, v in sorted(self.keep_limit.items())},
            "cap_limit": {c: str(v) for c, v in sorted(self.cap_limit.items())},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], **arrays: np.ndarray) -> "Rules":
        """The rules that `to_json` wrote, with their arrays."""
        return cls(
            **arrays,
            by=value["by"],
            seed=value["seed"],
            validation_limit=int(value["validation_limit"]),
            test_years=tuple(value["test_years"]),
            validation_years=tuple(value["validation_years"]),
            keep_limit={c: int(v) for c, v in value["keep_limit"].items()},
            cap_limit={c: int(v) for c, v in value["cap_limit"].items()},
        )


def keep_limits(keep: dict[str, float]) -> dict[str, int]:
    """The limits of shares by country; a fraction of 1 needs none."""
    return {country: fraction_limit(fraction) for country, fraction in keep.items() if fraction < 1}


def _by_country(values: dict[str, int], default: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether a country is named, bool [c], and its value, uint64 [c], by index into CODES."""
    named = np.zeros(len(CODES), bool)
    table = np.full(len(CODES), default, np.uint64)
    for country, value in values.items():
        named[INDEX[country]], table[INDEX[country]] = True, value
    return named, table
