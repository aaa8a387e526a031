"""Writes the columns of a field of the user's own: of a shard, and of a store's shards together."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.tokenise.codes import Codes, narrow
from data_prep.tokenise.hashed_file import write_column
from geo_nemo.store.field_column import SEVERAL
from geo_nemo.store.manifest import (
    FIELDS_FOLDER,
    ColumnEntry,
    FieldEntry,
    FieldKind,
    ShardEntry,
    field_file,
    field_of,
    values_file,
)
from geo_nemo.store.shard import index_dtype, read_column

# Fields that every preparation gives, and a store has only where a document has a value.
FOUND: dict[str, FieldKind] = {"date": "date", "language": "category"}
# Values that a store numbers. Above, documents have them all the same, and they make no groups.
MOST_VALUES = 1_000_000
# Values of shards that are looked up together.
AT_ONCE = 4_000_000


class FieldWriter:
    """One field of the documents of one shard, as they come."""

    def __init__(self, name: str):
        self._name = name
        self._codes = Codes("")
        self._kept: list[np.ndarray] = []
        self._documents = 0

    def add(self, values: Sequence[str | None] | pa.Array, before: int) -> None:
        """Values of some documents; `before` documents stand before them, perhaps without any."""
        self._fill(before)
        if hasattr(values, "fill_null"):
            codes = self._codes.of(values.fill_null(""))
        else:
            codes = self._codes.of([value or "" for value in values])
        self._kept.append(codes)
        self._documents += len(codes)

    def close(self, folder: Path, documents: int) -> dict[str, ColumnEntry]:
        """Write the files of a shard of so many documents; none where none has a value."""
        self._fill(documents)
        names = list(self._codes.names)
        if len(names) == 1:
            return {}
        code = np.concatenate(self._kept)
        columns: dict[str, np.ndarray] = {}
        if any(SEVERAL in name for name in names):
            values = Codes("")
            # The values of a list follow each other; the first list, of nothing, has none.
            lists = [values.of(name.split(SEVERAL)) for name in names[1:]]
            columns["item"] = np.concatenate(lists).astype(index_dtype(len(values.names)))
            columns["item_end"] = narrow(_ends([0, *map(len, lists)]))
            names, of = list(values.names), len(names)
        else:
            of = len(names)
        columns["code"] = code.astype(index_dtype(of))
        columns |= text_columns(names)
        return {
            field_file(self._name, part): write_column(folder / field_file(self._name, part), each)
            for part, each in sorted(columns.items())
        }

    def _fill(self, documents: int) -> None:
        """Documents without a value, up to so many."""
        if documents > self._documents:
            self._kept.append(np.zeros(documents - self._documents, np.uint32))
            self._documents = documents


def text_columns(values: Sequence[str]) -> dict[str, np.ndarray]:
    """Values one behind another, and where each ends."""
    encoded = [value.encode() for value in values]
    text = np.frombuffer(b"".join(encoded), np.uint8)
    return {"text": text, "end": narrow(_ends([len(value) for value in encoded]))}


def shard_values(folder: Path, entry: ShardEntry, name: str) -> pa.LargeStringArray:
    """The values of a field in a shard whose files stand in `folder`, the empty one first; mapped.

    Where no document of the shard has the field, there is no value, not even that.
    """
    files = [field_file(name, part) for part in ("text", "end")]
    if files[0] not in entry.files:
        return pa.array([], pa.large_string())
    text, end = (read_column(folder / file, entry.files[file].dtype) for file in files)
    starts = np.concatenate([[0], end]).astype(np.int64)
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string(), len(end), buffers)


def write_fields(
    root: Path,
    shards: Sequence[tuple[Path, ShardEntry]],
    kinds: Mapping[str, FieldKind],
    most: int = MOST_VALUES,
) -> tuple[dict[str, FieldEntry], list[dict[str, ColumnEntry]]]:
    """Number the values of all shards; write them, and each shard's map to them, into store `root`.

    shards: folder of each shard's files as they are, and its entry, whose path is that in the
    store. kinds: of the fields that the store has where no document has a value too.
    Returns the fields by name, and the maps of each shard. In memory: the values of one field, and
    of some shards.
    """
    present = {found[0] for _, entry in shards for found in map(field_of, entry.files) if found}
    fields, maps = {}, [{} for _ in shards]
    for name in sorted(present | kinds.keys()):
        kind = kinds.get(name) or FOUND.get(name, "category")
        many = any(field_file(name, "item") in entry.files for _, entry in shards)
        values = None if kind == "text" else _all_values(shards, name, most)
        files = {}
        if values is not None:
            (root / FIELDS_FOLDER).mkdir(exist_ok=True)
            files = {
                part: write_column(root / values_file(name, part), column)
                for part, column in _columns_of(values).items()
            }
            for made, (place, entry) in zip(maps, _numbers(shards, name, values), strict=True):
                if place is not None:
                    file = field_file(name, "map")
                    made[file] = write_column(root / entry.path / file, place)
        fields[name] = FieldEntry(
            kind="text" if values is None else kind,
            many=many,
            values=0 if values is None else len(values),
            files=files,
        )
    return fields, maps


def _all_values(
    shards: Sequence[tuple[Path, ShardEntry]], name: str, most: int
) -> pa.LargeStringArray | None:
    """The values of all shards, sorted, the empty one first; None where there are over `most`."""
    found = pa.array([""], pa.large_string())
    for some in _some_shards(shards, name):
        found = pc.unique(pa.chunked_array([found, *(values for _, values in some)]))
        if len(found) > most + 1:
            return None
    return found.take(pc.sort_indices(found))


def _numbers(
    shards: Sequence[tuple[Path, ShardEntry]], name: str, values: pa.LargeStringArray
) -> Iterator[tuple[np.ndarray | None, ShardEntry]]:
    """Place among `values` of each value of a shard, uint32, and its entry; None: it has none."""
    for some in _some_shards(shards, name):
        joined = pa.chunked_array([each for _, each in some], pa.large_string())
        places = pc.index_in(joined, value_set=values).to_numpy().astype(np.uint32)
        start = 0
        for entry, each in some:
            yield (places[start : start + len(each)] if len(each) else None), entry
            start += len(each)


def _some_shards(
    shards: Sequence[tuple[Path, ShardEntry]], name: str
) -> Iterator[list[tuple[ShardEntry, pa.LargeStringArray]]]:
    """Shards in order with their values of a field, so many at once that a table of all pays."""
    some, size = [], 0
    for folder, entry in shards:
        some.append((entry, shard_values(folder, entry, name)))
        size += len(some[-1][1])
        if size > AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _columns_of(values: pa.LargeStringArray) -> dict[str, np.ndarray]:
    """`text_columns` of an array without nulls."""
    lengths = pc.binary_length(values).to_numpy()
    text = np.frombuffer(values.buffers()[2] or b"", np.uint8)[: int(lengths.sum())]
    return {"text": text, "end": narrow(_ends(lengths))}


def _ends(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.cumsum(np.asarray(lengths, np.uint64), dtype=np.uint64)
