"""Fields of the user's own in a store: a shard's column of one, and the values of all shards.

A document holds the number of its value in the shard, 0 where it has none. The shard lists its
values, and for a field whose values are few enough the number of each in the store, so that they
count as groups. Where a document may have several values, what it holds is the number of a list.

Values are read where they stand on disk: a million of them take no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.store.manifest import field_file

# Between several values of a document, in files and columns that hold text; no value has it.
SEVERAL = "\x1f"
# Values of a shard whose table is kept as a list of Python's numbers.
QUICK = 4096


class TextColumn(Sequence[str]):
    """Texts of a column of bytes and one of ends; each is decoded when it is asked for."""

    def __init__(self, text: np.ndarray, end: np.ndarray):
        self._text, self._end = text, end

    def __len__(self) -> int:
        return len(self._end)

    def __getitem__(self, number: int) -> str:  # type: ignore[override]  # no slices
        if not 0 <= number < len(self._end):
            raise IndexError(f"there are {len(self._end)} values, not {number}")
        start = self._end.item(number - 1) if number else 0
        return self._text[start : self._end.item(number)].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        """All in turn, from one decoded piece after another."""
        for first in range(0, len(self._end), 1 << 12):
            ends = self._end[first : first + (1 << 12)].tolist()
            start = self._end.item(first - 1) if first else 0
            piece = self._text[start : ends[-1]].tobytes()
            at = 0
            for end in ends:
                yield piece[at : end - start].decode()
                at = end - start


class FieldValues(Sequence[str]):
    """The values of a field in a whole store by their code; code 0 is UNKNOWN."""

    def __init__(self, texts: TextColumn):
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, code: int) -> str:  # type: ignore[override]  # no slices
        return self._texts[code] or UNKNOWN

    def __iter__(self) -> Iterator[str]:
        return (text or UNKNOWN for text in self._texts)


class FieldColumn:
    """One field in one shard.

    read: gives a file of the shard by its name. first: what is added to the shard's numbers, so
    that those of two shards differ; None where the store has a number for each value.
    """

    def __init__(
        self, name: str, read: Callable[[str], np.ndarray], files: set[str], first: int | None
    ):
        self._name, self._read, self._first = name, read, first
        self.is_list = field_file(name, "item") in files

    def _file(self, part: str) -> np.ndarray:
        return self._read(field_file(self._name, part))

    @cached_property
    def local(self) -> np.ndarray:
        """Number in the shard of each document's value, or list of values; 0 where it has none."""
        return self._file("code")

    @cached_property
    def texts(self) -> TextColumn:
        """The shard's values by their number; the first is empty."""
        return TextColumn(self._file("text"), self._file("end"))

    @cached_property
    def map(self) -> np.ndarray:
        """Number in the store of each of the shard's values, uint32."""
        return self._file("map")

    @cached_property
    def _lists(self) -> tuple[np.ndarray, np.ndarray]:
        return self._file("item"), self._file("item_end")

    @property
    def num_lists(self) -> int:
        """Lists of values that documents have, and the one of nothing."""
        return len(self._lists[1])

    def items_of(self, lists: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the values of rising `lists`, int [m], and the place in `lists` of each."""
        items, ends = self._lists
        lengths = np.diff(ends.astype(np.int64), prepend=0)[lists]
        of = np.repeat(np.arange(len(lists)), lengths)
        starts = ends.astype(np.int64)[lists] - lengths
        within = np.arange(len(of)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return items[starts[of] + within], of

    def values(self, number: int) -> tuple[str, ...]:
        """What a number of `local` stands for."""
        if not number:
            return ()
        if not self.is_list:
            return (self.texts[number],)
        items, ends = self._lists
        numbers = items[ends.item(number - 1) : ends.item(number)].tolist()
        return tuple(self.texts[each] for each in numbers)

    def in_store(self) -> Sequence[int]:
        """The code in the store of each number of `local`; see `codes`."""
        return quick_table(self.map) if self._first is None else _Shifted(self._first)

    def codes(self) -> np.ndarray:
        """Of each document a number that no other value of the store has, 0 where it has none.

        Of a field with values of the store, their index; else only equal for equal values of one
        shard. uint32 or uint64 [n].
        """
        if self._first is None:
            return self.map[self.local]
        wide: np.ndarray = self.local.astype(np.uint32 if self._first < 1 << 31 else np.uint64)
        return np.where(wide > 0, wide + wide.dtype.type(self._first), wide)

    def joined(self, rows: np.ndarray) -> list[str]:
        """Values of some documents as text, several of one with SEVERAL between them."""
        found: dict[int, str] = {}
        numbers = self.local[rows].tolist()
        for number in set(numbers):
            found[number] = SEVERAL.join(self.values(number))
        return [found[number] for number in numbers]


class _Shifted(Sequence[int]):
    """0, and then the whole numbers behind `first`."""

    def __init__(self, first: int):
        self._first = first

    def __len__(self) -> int:
        return 1 << 62

    def __getitem__(self, number: int) -> int:  # type: ignore[override]  # no slices
        return number + self._first if number else 0


def quick_table(values: np.ndarray) -> Sequence[int]:
    """Whole numbers as Python's, by their place: a list is quicker, a large one takes memory."""
    return values.tolist() if len(values) <= QUICK else memoryview(values)


class Several(str):
    """Several values of one document, as its line shows them."""

    __slots__ = ("values",)
    values: tuple[str, ...]

    def __new__(cls, values: Sequence[str]) -> Several:
        made = super().__new__(cls, ", ".join(values))
        made.values = tuple(values)
        return made

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return Several, (self.values,)


class DocumentFields(Mapping[str, str]):
    """The fields of one document; each is read when it is asked for, and only those that it has."""

    __slots__ = ("_columns", "_row")

    def __init__(self, columns: Mapping[str, FieldColumn], row: int):
        self._columns, self._row = columns, row

    def __getitem__(self, name: str) -> str:
        column = self._columns[name]
        number = column.local.item(self._row)
        if not number:
            raise KeyError(name)
        values = column.values(number)
        return values[0] if len(values) == 1 else Several(values)

    def __iter__(self) -> Iterator[str]:
        return (name for name, column in self._columns.items() if column.local.item(self._row))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __reduce__(self) -> tuple[type, tuple[dict[str, str]]]:
        # Another process gets the values.
        return dict, (dict(self),)

    def __repr__(self) -> str:
        return repr(dict(self))
