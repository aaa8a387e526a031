"""Writes the columns of a field of the user's own: of a shard, and of a store's shards together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.tokenise.codes import Codes, narrow
from data_prep.tokenise.hashed_file import write_column
from geo_nemo.store.field_column import SEVERAL, TextColumn
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

if TYPE_CHECKING:
    import pyarrow as pa

# Fields that every preparation gives, and a store has only where a document has a value.
FOUND: dict[str, FieldKind] = {"date": "date", "language": "category"}
# Values that a store numbers. Above, documents have them all the same, and they make no groups.
MOST_VALUES = 1_000_000


class FieldWriter:
    """One field of the documents of one shard, as they come."""

    def __init__(self, name: str):
        self._name = name
        self._codes = Codes("")
        self._kept: list[np.ndarray] = []
        self._documents = 0

    def add(self, values: "Sequence[str | None] | pa.Array", before: int) -> None:
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


def shard_values(folder: Path, entry: ShardEntry, name: str) -> TextColumn | None:
    """The values of a field in a shard whose files stand in `folder`; None where it has none."""
    if field_file(name, "text") not in entry.files:
        return None
    return TextColumn(
        *(
            read_column(folder / field_file(name, part), entry.files[field_file(name, part)].dtype)
            for part in ("text", "end")
        )
    )


def write_fields(
    root: Path,
    shards: Sequence[tuple[Path, ShardEntry]],
    kinds: Mapping[str, FieldKind],
    most: int = MOST_VALUES,
) -> tuple[dict[str, FieldEntry], list[dict[str, ColumnEntry]]]:
    """Number the values of all shards; write them, and each shard's map to them, into store `root`.

    shards: folder of each shard's files as they are, and its entry, whose path is that in the
    store. kinds: of the fields that the store has where no document has a value too.
    Returns the fields by name, and the maps of each shard. In memory: the values of one field.
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
                for part, column in text_columns(values).items()
            }
            number = {value: place for place, value in enumerate(values)}
            for (folder, entry), made in zip(shards, maps, strict=True):
                texts = shard_values(folder, entry, name)
                if texts is not None:
                    places = np.fromiter((number[text] for text in texts), np.uint32, len(texts))
                    file = field_file(name, "map")
                    made[file] = write_column(root / entry.path / file, places)
        fields[name] = FieldEntry(
            kind="text" if values is None else kind,
            many=many,
            values=0 if values is None else len(values),
            files=files,
        )
    return fields, maps


def _all_values(
    shards: Sequence[tuple[Path, ShardEntry]], name: str, most: int
) -> list[str] | None:
    """The values of all shards, sorted, the empty one first; None where there are over `most`."""
    found = {""}
    for folder, entry in shards:
        found.update(shard_values(folder, entry, name) or ())
        if len(found) > most + 1:
            return None
    return sorted(found)


def _ends(lengths: Sequence[int]) -> np.ndarray:
    return np.cumsum(np.array(lengths, np.uint64), dtype=np.uint64)
