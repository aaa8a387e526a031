"""One shard of a token store: its columns, mapped on first use."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.common.mapped import mapped
from geo_nemo.metadata.record import KEY_OF
from geo_nemo.store.field_column import FieldColumn, quick_table
from geo_nemo.store.manifest import ShardEntry, field_of
from geo_nemo.store.paths import PathBlocks

# A column of small numbers as they are; a year below 0, which no document has, is one of its own.
_SAME = range(1 << 16)
# Columns that are numbered within a shard.
NUMBERED = ("country", "source", "host")


class Shard:
    """The columns of one shard. Arrays are read-only views of the files.

    countries, sources: index in the store's list of each country and source of this shard.
    first: of fields whose values have no numbers in the store, what is added to the shard's.
    `country_code`, `source_code` and `host_code` are numbered within the shard; `country`, `source`
    and `host` as in the store, in memory.
    """

    def __init__(
        self,
        root: Path,
        entry: ShardEntry,
        countries: dict[str, int],
        sources: dict[str, int],
        first: Mapping[str, int] | None = None,
    ):
        self.root = root / entry.path
        self.entry = entry
        self.num_documents = entry.documents
        self.country_map = _index_map(entry.countries, countries)
        self.source_map = _index_map(entry.sources, sources)
        self.first = first or {}

    def __getstate__(self) -> dict[str, Any]:
        # A process that gets a shard maps its files itself.
        kept = ("root", "entry", "num_documents", "country_map", "source_map", "first")
        return {name: self.__dict__[name] for name in kept}

    @cached_property
    def title_tokens(self) -> np.ndarray:
        return self.column("title.bin")

    @cached_property
    def body_tokens(self) -> np.ndarray:
        return self.column("body.bin")

    @cached_property
    def title_end(self) -> np.ndarray:
        return self.column("title_end.bin")

    @cached_property
    def body_end(self) -> np.ndarray:
        return self.column("body_end.bin")

    @cached_property
    def country_code(self) -> np.ndarray:
        return self.column("country.bin")

    @cached_property
    def source_code(self) -> np.ndarray:
        return self.column("source.bin")

    @cached_property
    def host_code(self) -> np.ndarray:
        return self.column("host.bin")

    @cached_property
    def host_map(self) -> np.ndarray:
        return self.column("host_map.bin")

    @cached_property
    def year(self) -> np.ndarray:
        return self.column("year.bin")

    @cached_property
    def quality(self) -> np.ndarray:
        return self.column("quality.bin")

    @cached_property
    def content_hash(self) -> np.ndarray:
        return self.column("hash.bin")

    @cached_property
    def paths(self) -> PathBlocks:
        return PathBlocks(
            self.column("path.bin"), self.column("path_end.bin"), self.column("path_dict.bin")
        )

    @cached_property
    def fields(self) -> dict[str, FieldColumn]:
        """Columns of the user's own that a document of the shard has a value of, by name."""
        files = set(self.entry.files)
        names = sorted({found[0] for found in map(field_of, files) if found})
        return {name: FieldColumn(name, self.column, files, self.first.get(name)) for name in names}

    @cached_property
    def num_first_words(self) -> int:
        """Of START_COLUMNS; 0 in older stores."""
        sizes = self.entry.files.get("start_size.bin")
        return sizes.bytes if sizes is not None else 0

    @property
    def country(self) -> np.ndarray:
        return self.country_map[self.country_code]

    @property
    def source(self) -> np.ndarray:
        return self.source_map[self.source_code]

    @property
    def host(self) -> np.ndarray:
        return self.host_map[self.host_code]

    def code(self, column: str, i: int) -> int:
        """One document's value in an integer column, as in the store; nothing else is read."""
        code, of = self._coded(column)
        return of[code(i)]

    def code_reader(self, columns: Sequence[str]) -> Callable[[int], Hashable]:
        """A function from a document's number in the shard to its values in integer columns."""
        pairs = [self._coded(column) for column in columns]
        if len(pairs) == 1:
            ((code, of),) = pairs
            return lambda i: of[code(i)]
        # One call a column: this is asked for every document that is trained on.
        return lambda i: tuple([of[code(i)] for code, of in pairs])

    def codes(self, column: str) -> np.ndarray:
        """An integer column by its name, as in the store, [n]."""
        if column in KEY_OF:
            return getattr(self, column)
        found = self.fields.get(column)
        return np.zeros(self.num_documents, np.uint8) if found is None else found.codes()

    def _coded(self, column: str) -> tuple[Callable[[int], int], Sequence[int]]:
        """What reads a document's code in the shard, and what such a code is in the store."""
        if column not in KEY_OF:
            found = self.fields.get(column)
            return (lambda i: 0, (0,)) if found is None else (found.local.item, found.in_store())
        if column not in NUMBERED:
            return getattr(self, column).item, _SAME
        code = getattr(self, f"{column}_code")
        return code.item, quick_table(getattr(self, f"{column}_map"))

    @property
    def cluster(self) -> np.ndarray:
        """uint64 [n]; the map of the hashes itself where each document is its own cluster."""
        others = self.column("cluster.bin")
        if not len(others):
            return self.content_hash
        cluster = self.content_hash.copy()
        cluster[self.column("cluster_at.bin")] = others
        return cluster

    def column(self, name: str) -> np.ndarray:
        """The values of a file of the shard."""
        return read_column(self.root / name, self.entry.files[name].dtype)


def read_column(path: Path, dtype: str) -> np.ndarray:
    """The values of a file, mapped."""
    try:
        return mapped(path, dtype)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def index_dtype(values: int) -> np.dtype:
    """The narrowest unsigned type that numbers so many values."""
    for dtype in (np.uint8, np.uint16):
        if values <= np.iinfo(dtype).max + 1:
            return np.dtype(dtype)
    return np.dtype(np.uint32)


def _index_map(names: tuple[str, ...], index: dict[str, int]) -> np.ndarray:
    return np.array([index[name] for name in names], dtype=index_dtype(len(index)))
