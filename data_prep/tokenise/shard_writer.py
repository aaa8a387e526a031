"""Writes one shard of the token store: token columns as they come, the others when it is closed.

In memory until then: 48 bytes a document, 4 more for each field of the user's own, and the shard's
host names, values and first words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.tokenise.codes import Codes, narrow
from data_prep.tokenise.field_writer import FieldWriter
from data_prep.tokenise.first_words import Beginnings, FirstWords
from data_prep.tokenise.hashed_file import HashedFile, write_column
from data_prep.tokenise.path_column import PathColumn
from geo_nemo.store.manifest import ColumnEntry, CountryEntry, ShardEntry
from geo_nemo.store.shard import index_dtype

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts, one after another; lengths int64 [n]."""

    ids: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, part: slice) -> "Tokens":
        """Those of some texts in a row; a view."""
        start, stop, _ = part.indices(len(self.lengths))
        first, last = int(self.lengths[:start].sum()), int(self.lengths[:stop].sum())
        return Tokens(self.ids[first:last], self.lengths[start:stop])

    @staticmethod
    def joined(parts: "Sequence[Tokens]") -> "Tokens":
        """Those of all texts of one or more `parts`, in order."""
        ids, lengths = zip(*((part.ids, part.lengths) for part in parts), strict=True)
        return Tokens(np.concatenate(ids), np.concatenate(lengths))


@dataclass(frozen=True)
class Columns:
    """n documents in a row, as the store keeps them; see geo_nemo.store.manifest.COLUMNS.

    country, host, source: names, or an Arrow array of them.
    path: as geo_nemo.store.paths.with_scheme makes it.
    fields: of the user's own, by name: text, None or empty where a document has no value; several
        values of one have geo_nemo.store.field_column.SEVERAL between them.
    """

    titles: Tokens
    bodies: Tokens
    country: "Sequence[str] | pa.Array"
    host: "Sequence[str] | pa.Array"
    source: "Sequence[str] | pa.Array"
    path: Sequence[str]
    year: np.ndarray
    quality: np.ndarray
    content_hash: np.ndarray
    cluster: np.ndarray
    fields: "Mapping[str, Sequence[str | None] | pa.Array]" = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.titles)

    def __getitem__(self, part: slice) -> "Columns":
        names = [name for name in self.__dataclass_fields__ if name != "fields"]
        fields = {name: values[part] for name, values in self.fields.items()}
        return Columns(*(getattr(self, name)[part] for name in names), fields)


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is whole but for its host map.

    hosts: names of the shard's hosts, in the order of their codes.
    """

    entry: ShardEntry
    hosts: list[str]
    by_country: dict[str, CountryEntry]


class ShardWriter:
    """Fills the folder `folder`, which it makes.

    dtype: of token ids. beginnings: of their tokenizer; without it the shard has no first words.
    """

    def __init__(self, folder: Path, dtype: str, beginnings: Beginnings | None = None):
        folder.mkdir(parents=True)
        self.documents = 0
        self._folder = folder
        self._dtype = np.dtype(dtype)
        self._tokens = {name: HashedFile(folder / f"{name}.bin") for name in ("title", "body")}
        self._path_file = HashedFile(folder / "path.bin")
        self._paths = PathColumn(self._path_file)
        self._codes = {name: Codes() for name in ("country", "host", "source")}
        given = () if beginnings is None else self._tokens
        self._first = {name: FirstWords(beginnings) for name in given}
        self._fields: dict[str, FieldWriter] = {}
        self._kept: dict[str, list[np.ndarray]] = {}

    def add(self, columns: Columns) -> None:
        for name, tokens in (("title", columns.titles), ("body", columns.bodies)):
            # Ids are checked when a tokenizer is loaded: all are below its vocabulary's size.
            ids = np.ascontiguousarray(tokens.ids, self._dtype)
            self._tokens[name].write(ids.data.cast("B") if len(ids) else b"")
            self._keep(f"{name}_length", tokens.lengths.astype(np.int64))
            if name in self._first:
                self._keep(f"{name}_start", self._first[name].of(tokens.ids, tokens.lengths))
        for name, codes in self._codes.items():
            self._keep(name, codes.of(getattr(columns, name)))
        self._keep("year", np.asarray(columns.year).astype(np.int16))
        self._keep("quality", np.asarray(columns.quality).astype(np.uint8))
        content_hash = np.asarray(columns.content_hash, np.uint64)
        cluster = np.asarray(columns.cluster, np.uint64)
        others = np.flatnonzero(cluster != content_hash)
        self._keep("hash", content_hash)
        self._keep("cluster", cluster[others])
        self._keep("cluster_at", (others + self.documents).astype(np.uint64))
        self._paths.add(list(columns.path))
        for name, values in columns.fields.items():
            self._fields.setdefault(name, FieldWriter(name)).add(values, self.documents)
        self.documents += len(columns)

    def close(self, path: str) -> WrittenShard:
        """Write the rest; `path` is the shard's place in its store."""
        files: dict[str, ColumnEntry] = {}
        lengths = {name: self._taken(f"{name}_length", np.int64) for name in self._tokens}
        for name, file in self._tokens.items():
            files[f"{name}.bin"] = file.close_column(self._dtype.name)
            self._write(files, f"{name}_end", narrow(np.cumsum(lengths[name], dtype=np.uint64)))
        country = self._taken("country", np.uint32)
        by_country = self._by_country(country, lengths["title"] + lengths["body"])
        for name, codes in self._codes.items():
            values = country if name == "country" else self._taken(name, np.uint32)
            self._write(files, name, values.astype(index_dtype(len(codes.names))))
        for name, dtype in (("year", np.int16), ("quality", np.uint8), ("hash", np.uint64),
                            ("cluster", np.uint64)):  # fmt: skip
            self._write(files, name, self._taken(name, dtype))
        self._write(files, "cluster_at", narrow(self._taken("cluster_at", np.uint64)))
        if self._first:
            self._write_first_words(files)
        ends = self._paths.close()
        files["path.bin"] = self._path_file.close_column("uint8")
        self._write(files, "path_end", narrow(ends))
        self._write(files, "path_dict", np.frombuffer(self._paths.dictionary, np.uint8))
        for written in self._fields.values():
            files |= written.close(self._folder, self.documents)
        entry = ShardEntry(
            path=path,
            documents=self.documents,
            title_tokens=int(lengths["title"].sum()),
            body_tokens=int(lengths["body"].sum()),
            countries=tuple(self._codes["country"].names),
            sources=tuple(self._codes["source"].names),
            files=files,
        )
        return WrittenShard(entry, list(self._codes["host"].names), by_country)

    def abandon(self) -> None:
        """Close files after an error, leaving the folder as it is."""
        for file in (*self._tokens.values(), self._path_file):
            file.abandon()

    def _keep(self, name: str, values: np.ndarray) -> None:
        self._kept.setdefault(name, []).append(values)

    def _taken(self, name: str, dtype: type) -> np.ndarray:
        return np.concatenate([np.empty(0, dtype), *self._kept.pop(name, [])], dtype=dtype)

    def _write(self, files: dict[str, ColumnEntry], name: str, values: np.ndarray) -> None:
        files[f"{name}.bin"] = write_column(self._folder / f"{name}.bin", values)

    def _write_first_words(self, files: dict[str, ColumnEntry]) -> None:
        """Those of bodies behind those of titles, so that batches decide nothing."""
        pairs = [first.tokens() for first in self._first.values()]
        numbers = sum(len(sizes) for _, sizes in pairs)
        before = 0
        for name, (_, sizes) in zip(self._first, pairs, strict=True):
            codes = self._taken(f"{name}_start", np.uint32)
            codes[codes > 0] += before
            self._write(files, f"{name}_start", codes.astype(index_dtype(numbers + 1)))
            before += len(sizes)
        ids, sizes = map(np.concatenate, zip(*pairs, strict=True))
        self._write(files, "start", ids.astype(self._dtype))
        self._write(files, "start_size", sizes.astype(np.uint8))

    def _by_country(self, country: np.ndarray, tokens: np.ndarray) -> dict[str, CountryEntry]:
        names = self._codes["country"].names
        documents = np.bincount(country, minlength=len(names))
        sums = np.zeros(len(names), np.int64)
        np.add.at(sums, country, tokens)
        return {
            name: CountryEntry(documents=int(documents[code]), tokens=int(sums[code]))
            for name, code in sorted(names.items())
        }
