"""Fields of the user's own in a store: how many documents have each value, and which match one."""

import difflib
import re
from collections.abc import Callable, Sequence
from datetime import date

import numpy as np

from data_prep.store_tools.columns import NAMES, NUMBERS
from geo_nemo.common.errors import UserError
from geo_nemo.config.section import NonNegative, Section
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.store import TokenStore
from geo_nemo.store.field_column import FieldColumn
from geo_nemo.store.shard import Shard


class ValueCount(Section):
    """Documents and tokens (of titles and bodies) with one value."""

    name: str
    documents: NonNegative
    tokens: NonNegative


class FieldCount(Section):
    """One field. documents: that have it. values: how many there are; 0 where nobody numbers them.

    top: those with most tokens. A document with several values counts for each of them.
    """

    name: str
    kind: str
    many: bool
    documents: NonNegative
    values: NonNegative
    top: tuple[ValueCount, ...]


class FieldTally:
    """Counts the fields of shards. In memory: 16 bytes a value."""

    def __init__(self, store: TokenStore):
        self._store = store
        self._documents = dict.fromkeys(store.manifest.fields, 0)
        self._tables = {
            name: np.zeros((2, field.values), np.int64)
            for name, field in store.manifest.fields.items()
            if field.files
        }

    def add(self, shard: Shard, tokens: np.ndarray) -> None:
        """Count a shard's documents; tokens of each, int64 [n]."""
        for name, column in shard.fields.items():
            local = column.local
            documents = np.bincount(local)
            # Exact: sums of a shard's tokens stay below 2^53.
            sums = np.bincount(local, tokens).astype(np.int64)
            documents[0] = sums[0] = 0
            self._documents[name] += int(documents.sum())
            table = self._tables.get(name)
            if table is None:
                continue
            numbers = np.arange(len(documents))
            if column.is_list:
                numbers, of = column.items_of(numbers)
                documents, sums = documents[of], sums[of]
            places = column.map[numbers]
            np.add.at(table[0], places, documents)
            np.add.at(table[1], places, sums)

    def counts(self, most: int) -> tuple[FieldCount, ...]:
        """Each field with at most `most` values, by name."""
        return tuple(self._count(name, most) for name in sorted(self._documents))

    def _count(self, name: str, most: int) -> FieldCount:
        field, table = self._store.manifest.fields[name], self._tables.get(name)
        top: tuple[ValueCount, ...] = ()
        there = 0
        if table is not None:
            values = self._store.values(name)
            there = int(np.count_nonzero(table[0]))
            chosen = np.lexsort((np.arange(table.shape[1]), -table[1]))[: min(most, there)]
            top = tuple(
                ValueCount(name=values[i], documents=table[0, i], tokens=table[1, i])
                for i in chosen.tolist()
            )
        return FieldCount(
            name=name, kind=field.kind, many=field.many, documents=self._documents[name],
            values=there, top=top,
        )  # fmt: skip


def field_matcher(
    store: TokenStore, name: str, sign: str, values: Sequence[str]
) -> Callable[[Shard], np.ndarray]:
    """Tells which documents of a shard have one of `values`, or with `!=` none; bool [n].

    `unknown` are those without a value. Numbers and dates have <, <=, > and >= too, which hold for
    no document without a value. Raises UserError for a field that the store lacks.
    """
    field = store.manifest.fields.get(name)
    written = f"--where {name}{sign}{'|'.join(values)}"
    if field is None:
        there = [*NAMES, *NUMBERS, *store.manifest.fields]
        near = difflib.get_close_matches(name, there, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"{written}: no column {name}, there is {', '.join(there)}{hint}")
    if sign in ("=", "!="):
        named = one_of(values)
        holds = lambda text: named(text or UNKNOWN)  # noqa: E731
    else:
        holds = _ordered(written, field.kind, sign, values)

    def matches(shard: Shard) -> np.ndarray:
        column = shard.fields.get(name)
        found = np.full(shard.num_documents, holds("")) if column is None else _of(column, holds)
        return ~found if sign == "!=" else found

    return matches


def one_of(values: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name is one of `values`, whatever its case; `*` stands for any characters."""
    folded = [value.lower() for value in values]
    plain = {value for value in folded if "*" not in value}
    globs = [re.compile(".*".join(map(re.escape, v.split("*"))), re.S) for v in folded if "*" in v]
    return lambda name: name.lower() in plain or any(g.fullmatch(name.lower()) for g in globs)


def _of(column: FieldColumn, holds: Callable[[str], bool]) -> np.ndarray:
    """bool [n]: documents of which a value holds; each value of the shard is asked once."""
    table = np.array([holds(text) for text in column.texts], bool)
    if column.is_list:
        lists = np.zeros(column.num_lists, bool)
        numbers, of = column.items_of(np.arange(len(lists)))
        lists[of[table[numbers]]] = True
        lists[0] = table[0]
        table = lists
    return table[column.local]


def _ordered(written: str, kind: str, sign: str, values: Sequence[str]) -> Callable[[str], bool]:
    if kind not in ("number", "date"):
        raise UserError(f"{written}: it is a {kind}, which takes = or !=")
    if len(values) > 1:
        raise UserError(f"{written}: {sign} takes one value")
    read = float if kind == "number" else _day
    try:
        limit = read(values[0])
    except ValueError:
        raise UserError(f"{written}: {values[0]} is no {kind}") from None
    compare = {">=": "__ge__", "<=": "__le__", ">": "__gt__", "<": "__lt__"}[sign]
    return lambda text: bool(text) and getattr(read(text), compare)(limit)


def _day(text: str) -> str:
    """A day, or the month or year that begins it, as text in the order of time."""
    date.fromisoformat(text + "0001-01-01"[len(text) :])
    return text
