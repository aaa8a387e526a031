"""Conditions on documents from the words of a command line: `country=gb|ie`, `year>=2020`."""

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from data_prep.store_tools.columns import NAMES, NUMBERS, names_of, values_of
from data_prep.store_tools.fields import field_matcher, one_of
from geo_nemo.common.errors import UserError
from geo_nemo.metadata.geography import country_code
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import NO_QUALITY
from geo_nemo.store.shard import Shard

_FORM = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.S)
_COMPARE: dict[str, Callable] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


Matcher = Callable[[Shard], np.ndarray]


@dataclass(frozen=True)
class Condition:
    """`column sign value|value|...`; several values go with `=` and `!=` only.

    A name may hold `*`, for any characters: `host=*.co.uk`. A column that is not of NAMES or
    NUMBERS is a field of the user's own, which the store must have.
    """

    column: str
    sign: str
    values: tuple[str, ...]

    def matcher(self, store: TokenStore) -> Matcher:
        """Tells which documents of a shard hold, bool [n]."""
        compare = _COMPARE[self.sign]
        if self.column not in (*NAMES, *NUMBERS):
            return field_matcher(store, self.column, self.sign, self.values)
        if self.column in NUMBERS:
            numbers = [int(value) for value in self.values]

            def holds(shard: Shard) -> np.ndarray:
                values = values_of(store, shard, self.column).astype(np.int64)
                if self.sign not in ("=", "!="):
                    found = compare(values, numbers[0])
                else:
                    found = np.isin(values, numbers) ^ (self.sign == "!=")
                # A quality that is not known is neither above nor below another.
                return found & (values != NO_QUALITY) if self.column == "quality" else found

            return holds
        named = one_of(self.values)
        table = np.array([named(name) for name in names_of(store, self.column)], bool)
        table ^= self.sign == "!="
        return lambda shard: table[values_of(store, shard, self.column)]

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{'|'.join(self.values)}"


@dataclass(frozen=True)
class Where:
    """Conditions that must all hold; without any, every document does."""

    conditions: tuple[Condition, ...] = ()

    def matcher(self, store: TokenStore) -> Matcher:
        """Tells which documents of a shard hold, bool [n]."""
        matchers = [condition.matcher(store) for condition in self.conditions]

        def mask(shard: Shard) -> np.ndarray:
            chosen = np.ones(shard.num_documents, bool)
            for matcher in matchers:
                chosen &= matcher(shard)
            return chosen

        return mask

    def __str__(self) -> str:
        return ", ".join(map(str, self.conditions))


EVERYTHING = Where()


def parse_where(texts: Iterable[str]) -> Where:
    """Conditions of all `texts`, each with one or several separated by commas.

    Raises UserError for a word that is no condition, a column that there is not, a value that
    does not go with its column.
    """
    words = [word for text in texts for word in text.split(",") if word.strip()]
    return Where(tuple(map(_condition, words)))


def _condition(word: str) -> Condition:
    form = _FORM.fullmatch(word)
    if form is None:
        raise UserError(
            f"--where {word.strip()}: not a condition such as country=gb|ie, host!=example.com or "
            "year>=2020"
        )
    column, sign, text = form.groups()
    values = tuple(value.strip() for value in text.split("|") if value.strip())
    if not values:
        raise UserError(f"--where {word.strip()}: give a value")
    if column in NAMES and sign not in ("=", "!="):
        raise UserError(f"--where {word.strip()}: {column} is a name, it takes = or !=")
    if column in NUMBERS:
        for value in values:
            if not re.fullmatch(r"-?\d{1,18}", value):
                raise UserError(f"--where {word.strip()}: {column} is a whole number, not {value}")
        if sign not in ("=", "!=") and len(values) > 1:
            raise UserError(f"--where {word.strip()}: {sign} takes one value")
    if column == "country":
        values = tuple(value if "*" in value else country_code(value) or value for value in values)
    return Condition(column, sign, values)
