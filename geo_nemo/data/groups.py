"""By which fields loss, accounting and evaluation tell documents apart: their groups.

A grouping has one field (`country`), or two (`country, topic`), whose groups are then the cells of
a table of both. Groups are numbered sequence by sequence, and are the same in every split of a
store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data.fragments import COLUMNS
from geo_nemo.metadata.fields import Line, key_columns, lines_of
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.metadata.record import KEY_OF, MetadataRecord
from geo_nemo.store.fields import check_columns

if TYPE_CHECKING:
    from geo_nemo.data.fragments import Fragment
    from geo_nemo.store import Split, TokenStore

# As many as int16 numbers, which is what sequences have of each position.
MOST_GROUPS = (1 << 15) - 1
DEFAULT = ("country",)
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Axis:
    """A field by which documents are grouped.

    names: of its groups. column: the integer column of a store that decides. table: the group of
    each of the column's codes, int64 [codes].
    """

    field: str
    names: tuple[str, ...]
    column: str
    table: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def of(self, split: Split, documents: np.ndarray | slice) -> np.ndarray:
        """The group of each of a split's documents, int64 [n]."""
        return self.table[split.codes(self.column)[documents]]


class Grouping:
    """One field or two, and what is summed up by them."""

    def __init__(self, axes: Sequence[Axis]):
        self.axes = tuple(axes)
        self.fields = tuple(axis.field for axis in self.axes)
        self.shape = tuple(len(axis) for axis in self.axes)
        self.size = int(np.prod(self.shape))
        if self.size > MOST_GROUPS:
            sizes = " x ".join(f"{len(axis):,} values of {axis.field}" for axis in self.axes)
            raise UserError(
                f"groups={','.join(self.fields)}: {sizes} are more than {MOST_GROUPS:,} groups: "
                f"choose a field with fewer values"
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of each group, `gb` or `gb, sport`."""
        cells = np.ndindex(*self.shape)
        return tuple(
            ", ".join(axis.names[place] for axis, place in zip(self.axes, cell, strict=True))
            for cell in cells
        )

    def of(self, split: Split, documents: np.ndarray | slice) -> np.ndarray:
        """The group of each of a split's documents, int64 [n]."""
        return self._cells([axis.of(split, documents) for axis in self.axes])

    def planned(self, split: Split, fragments: np.ndarray) -> np.ndarray:
        """The same of planned fragments, an array of `fragment_dtype`."""
        return self._cells(
            [
                axis.table[fragments[axis.column]]
                if axis.column in COLUMNS
                else axis.of(split, fragments["document"])
                for axis in self.axes
            ]
        )

    def reader(self, split: Split) -> Callable[[Fragment], int]:
        """A function from one fragment to its group, which reads what the index has not."""
        readers = [_reader(axis, split) for axis in self.axes]
        if len(readers) == 1:
            return readers[0]
        first, second = readers
        columns = self.shape[1]
        return lambda fragment: first(fragment) * columns + second(fragment)

    def tables(self, values: np.ndarray) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
        """What is summed up by group, by each field: (field, its names, sums [names, ...]).

        values: [groups, ...].
        """
        together = values.reshape(*self.shape, *values.shape[1:])
        for place, axis in enumerate(self.axes):
            others = tuple(other for other in range(len(self.axes)) if other != place)
            yield axis.field, axis.names, together.sum(axis=others) if others else together

    def by(self, values: np.ndarray, entry: Callable[[np.ndarray], Any | None]) -> dict[str, Any]:
        """`{"country": {"gb": entry(...)}}` by each field; groups whose entry is None are left out.

        values: [groups, ...]. entry: of one group's sums, [...].
        """
        return {field: _named(names, sums, entry) for field, names, sums in self.tables(values)}

    def crossed(
        self, values: np.ndarray, entry: Callable[[np.ndarray], Any | None]
    ) -> dict[str, dict[str, Any]]:
        """`{"gb": {"sport": entry(...)}}` of two fields together."""
        sequences, columns = self.axes
        together = values.reshape(*self.shape, *values.shape[1:])
        found = {
            name: _named(columns.names, sums, entry)
            for name, sums in zip(sequences.names, together, strict=True)
        }
        return {name: cells for name, cells in found.items() if cells}

    def _cells(self, places: Sequence[np.ndarray]) -> np.ndarray:
        if len(places) == 1:
            return places[0]
        return places[0] * self.shape[1] + places[1]


def grouping_of(
    store: TokenStore, fields: Sequence[str] = DEFAULT, key: str = "groups"
) -> Grouping:
    """The grouping of a store's documents by one field or two.

    key: what the user calls the setting. Raises UserError for a field that the store lacks, or that
    is a value of each document's own, as a path.
    """
    return Grouping([axis_of(store, field, key) for field in fields])


def by_country(split: Split) -> Grouping:
    """The usual one."""
    return Grouping([_numbered("country", split.countries)])


def axis_of(store: TokenStore | Split, field: str, key: str) -> Axis:
    """One field of a grouping; reads the field's column where the store has no list of its values.

    store: the groups are those of all its splits, or of the one that is given.
    """
    if field == "country":
        return _numbered(field, store.countries)
    if field == "source":
        return _numbered(field, store.sources)
    if field == "continent":
        names = store.continents
        of_country = [names.index(store.continent_of[country]) for country in store.countries]
        return Axis(field, tuple(names), "country", np.array(of_country, np.int64))
    policy = MetadataPolicy(fields=(field,))
    check_columns(policy, store, key)
    (line,) = lines_of(policy)
    columns = key_columns([line])
    if columns is None or len(columns) != 1:
        raise _no_category(field, key, "each document has a value of its own")
    (column,) = columns
    if column in KEY_OF:
        return _axis(line, column, dict(_scanned(store, line, column, key)))
    if column in store.lists:
        raise UserError(
            f"{key}: a document of {store.root} may have several values of {field}, and would "
            f"count twice: keep the first alone by geo-nemo prep run ... fields.extra.{field}="
            f"'{{column: COLUMN, several: first}}', or group by another field"
        )
    values = store.values(column)
    if values is None:
        raise _no_category(field, key, "it is free text")
    if len(values) > MOST_GROUPS:
        raise _too_many(field, key, store)
    records = (MetadataRecord(extra={column: value} if code else {})
               for code, value in enumerate(values))  # fmt: skip
    return _axis(line, column, {code: line.value(each) for code, each in enumerate(records)})


def _numbered(field: str, names: Sequence[str]) -> Axis:
    """A column whose codes are numbers of names."""
    return Axis(field, tuple(names), field, np.arange(len(names)))


def _axis(line: Line, column: str, value_of: Mapping[int, str | None]) -> Axis:
    """By the values of codes, sorted; those of none are UNKNOWN."""
    values = {code: value or UNKNOWN for code, value in value_of.items()}
    names = sorted(set(values.values()) or {UNKNOWN})
    number = {name: place for place, name in enumerate(names)}
    # Codes below 0, as of a year, count from the end of a table that has all of them.
    table = np.zeros(1 << 16 if column == "year" else max(values, default=0) + 1, np.int64)
    table[list(values)] = [number[value] for value in values.values()]
    return Axis(line.name, tuple(names), column, table)


def _scanned(
    store: TokenStore | Split, line: Line, column: str, key: str
) -> Iterator[tuple[int, str | None]]:
    """Each code of a column and what the field says of a document that has it."""
    seen: set[int] = set()
    for split in _splits(store):
        codes = split.codes(column)
        known = np.zeros(0, bool)
        for first in range(0, split.num_documents, _CHUNK):
            chunk = _unsigned(codes[first : first + _CHUNK])
            if (top := int(chunk.max())) >= len(known):
                known = np.concatenate([known, np.zeros(top + 1 - len(known), bool)])
            fresh = np.flatnonzero(~known[chunk])
            found, example = np.unique(chunk[fresh], return_index=True)
            known[found] = True
            for code, place in zip(found.tolist(), fresh[example].tolist(), strict=True):
                if code not in seen:
                    yield code, line.value(split.record(first + place))
            seen.update(found.tolist())
            if len(seen) > MOST_GROUPS:
                raise _too_many(line.name, key, store)


def _splits(store: TokenStore | Split) -> list[Split]:
    """Those that have documents."""
    if not hasattr(store, "splits"):
        return [store]
    whole = cast("TokenStore", store)
    return [whole.split(name) for name in whole.splits if whole.manifest.splits[name].documents]


def _no_category(field: str, key: str, why: str) -> UserError:
    return UserError(
        f"{key}: {field} is no category: {why}; group by country, continent, source, or another "
        f"field with few values"
    )


def _too_many(field: str, key: str, store: TokenStore | Split) -> UserError:
    return UserError(
        f"{key}: {field} has more than {MOST_GROUPS:,} values in {store.root}: choose a field with "
        f"fewer"
    )


def _unsigned(codes: np.ndarray) -> np.ndarray:
    return codes.view(f"u{codes.itemsize}") if codes.dtype.kind == "i" else codes


def _reader(axis: Axis, split: Split) -> Callable[[Fragment], int]:
    if axis.column in COLUMNS:
        planned = attrgetter(axis.column)
        if np.array_equal(axis.table, np.arange(len(axis.table))):
            return planned
    table = axis.table.tolist()
    if axis.column in COLUMNS:
        return lambda fragment: table[planned(fragment)]
    code = split.code_reader((axis.column,))
    return lambda fragment: table[code(fragment.document)]


def _named(
    names: Sequence[str], sums: np.ndarray, entry: Callable[[np.ndarray], Any | None]
) -> dict[str, Any]:
    found = {name: entry(each) for name, each in zip(names, sums, strict=True)}
    return {name: each for name, each in found.items() if each is not None}


def mean_by_group(grouping: Grouping, sums: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """`{"country": {"gb": mean}}` by each field; groups that were not counted are left out.

    sums, counts: float64 [groups].
    """
    return grouping.by(
        np.stack([sums, counts], axis=-1),
        lambda both: float(both[0] / both[1]) if both[1] else None,
    )


def as_keys(by_field: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """`{"country": x}` as `{"loss_by_country": x}`, for a line of metrics or a record."""
    return {f"{prefix}{field}": value for field, value in by_field.items()}
