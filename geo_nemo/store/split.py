"""The documents of one split of a token store, over its shards."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.metadata.record import KEY_OF, NOTHING, MetadataRecord
from geo_nemo.store.field_column import DocumentFields
from geo_nemo.store.first_words import FirstWords, InShard
from geo_nemo.store.manifest import SplitEntry, known_quality
from geo_nemo.store.paths import split_scheme
from geo_nemo.store.shard import Shard
from geo_nemo.store.text_ends import TextEnds, text_ends


class WholeStore(Protocol):
    """What a split needs of its store, `TokenStore`."""

    root: Path
    countries: tuple[str, ...]
    continents: tuple[str, ...]
    continent_of: dict[str, str]
    sources: tuple[str, ...]

    @property
    def hosts(self) -> list[str]: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def lists(self) -> frozenset[str]: ...
    @property
    def origins(self) -> list[tuple[str, str]]: ...
    def values(self, field: str) -> Sequence[str] | None: ...
    def shards(self, name: str) -> list[Shard]: ...


class Split:
    """The documents of one split, numbered from 0 across its shards.

    `title(i)` and `body(i)` are token ids of `" " + title + "\\n\\n"` and `" " + body`; a document
    without title has an empty one.
    """

    def __init__(self, store: WholeStore, name: str, entry: SplitEntry):
        self.name = name
        self.root = store.root
        self.num_documents = entry.documents
        self.countries = store.countries
        self.continents = store.continents
        self.sources = store.sources
        self.hosts = store.hosts
        self.columns = store.columns
        self.values = store.values
        self.lists = store.lists
        self.continent_of = store.continent_of
        self._shards = store.shards(name)
        counts = [shard.num_documents for shard in self._shards]
        self._starts = [0, *accumulate(counts)]
        self._codes: dict[str, np.ndarray] = {}
        self._origins = store.origins

    def __len__(self) -> int:
        return self.num_documents

    @cached_property
    def title_lengths(self) -> np.ndarray:
        """Tokens of each title, int64 [n]."""
        return _joined([_lengths(shard.title_end) for shard in self._shards])

    @cached_property
    def body_lengths(self) -> np.ndarray:
        """Tokens of each body, int64 [n]."""
        return _joined([_lengths(shard.body_end) for shard in self._shards])

    @cached_property
    def country(self) -> np.ndarray:
        """Index of each document's country in `countries`, uint8 or uint16 [n]."""
        return _joined([shard.country for shard in self._shards])

    @cached_property
    def continent(self) -> np.ndarray:
        """Index of each document's continent in `continents`, uint8 [n]."""
        of_country = [self.continents.index(self.continent_of[c]) for c in self.countries]
        return np.array(of_country, np.uint8)[self.country]

    @cached_property
    def host(self) -> np.ndarray:
        """Index of each document's host in `hosts`, uint32 [n]."""
        return _joined([shard.host for shard in self._shards])

    @cached_property
    def source(self) -> np.ndarray:
        """Index of each document's input source in `sources`, uint8 or uint16 [n]."""
        return _joined([shard.source for shard in self._shards])

    @cached_property
    def year(self) -> np.ndarray:
        """Year of each document, int16 [n]; 0 where it is unknown."""
        return _joined([shard.year for shard in self._shards])

    @cached_property
    def quality(self) -> np.ndarray:
        """Quality score of each document, 0 to 100 or NO_QUALITY, uint8 [n]."""
        return _joined([shard.quality for shard in self._shards])

    @cached_property
    def content_hash(self) -> np.ndarray:
        """Hash of each document's text, uint64 [n]."""
        return _joined([shard.content_hash for shard in self._shards])

    @cached_property
    def cluster(self) -> np.ndarray:
        """Near-duplicate cluster, uint64 [n]: the hash of the cluster's first document."""
        return _joined([shard.cluster for shard in self._shards])

    def codes(self, column: str) -> np.ndarray:
        """An integer column by its name in `columns`, [n]; in memory where there are shards.

        Of a field of the user's own with `values`, indices into them, 0 where a document has none.
        """
        if column in KEY_OF:
            return getattr(self, column)
        if column not in self._codes:
            self._codes[column] = _joined([shard.codes(column) for shard in self._shards])
        return self._codes[column]

    def code_reader(self, columns: Sequence[str]) -> Callable[[int], Hashable]:
        """A function from a document to its values in integer columns, read where they stand."""
        starts, shards = self._starts, self._shards
        readers: list[Callable[[int], Hashable] | None] = [None] * len(shards)

        def read(index: int) -> Hashable:
            number = bisect_right(starts, index) - 1
            reader = readers[number]
            if reader is None:
                reader = readers[number] = shards[number].code_reader(columns)
            return reader(index - starts[number])

        return read

    def title(self, index: int) -> np.ndarray:
        """Title tokens of document `index`; a view of the memory map."""
        shard, i = self._locate(index)
        return _slice(shard.title_tokens, shard.title_end, i)

    def body(self, index: int) -> np.ndarray:
        """Body tokens of document `index`; a view of the memory map."""
        shard, i = self._locate(index)
        return _slice(shard.body_tokens, shard.body_end, i)

    def texts(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Title and body tokens of document `index`; views of the memory map."""
        shard, i = self._locate(index)
        title_end, body_end = shard.title_end, shard.body_end
        titles, bodies = (title_end.item(i - 1), body_end.item(i - 1)) if i else (0, 0)
        return (
            shard.title_tokens[titles : title_end.item(i)],
            shard.body_tokens[bodies : body_end.item(i)],
        )

    def pieces(
        self, index: int, title: int, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """First `title` title tokens of a document, and its body tokens from `start` to `stop`.

        Views of the memory map. All of them must be the document's, which is not checked.
        """
        shard, i = self._locate(index)
        titles, bodies = _start(shard.title_end, i), _start(shard.body_end, i)
        return (
            shard.title_tokens[titles : titles + title],
            shard.body_tokens[bodies + start : bodies + stop],
        )

    def record(self, index: int) -> MetadataRecord:
        """Metadata of document `index`."""
        shard, i = self._locate(index)
        country, continent = self._origins[shard.country_map[shard.country_code[i]]]
        try:
            scheme, path = split_scheme(shard.paths[i])
        except (ValueError, IndexError) as error:
            raise UserError(f"{shard.root / 'path.bin'} is damaged: {error}") from None
        return MetadataRecord(
            host=self.hosts[shard.host_map[shard.host_code[i]]],
            country=country,
            continent=continent,
            path=path,
            scheme=scheme,
            year=shard.year.item(i),
            quality=known_quality(shard.quality.item(i)),
            source=self.sources[shard.code("source", i)],
            extra=DocumentFields(shard.fields, i) if shard.fields else NOTHING,
        )

    @cached_property
    def first_words(self) -> FirstWords:
        """First words of titles and bodies, where the store has them."""
        return FirstWords(self._shards)

    def words(self, documents: np.ndarray) -> np.ndarray:
        """As of `FirstWords`, of documents [n]; IndexError where there is no such document."""
        return self.first_words.words(self._by_shard(documents), len(documents))

    def title_ends(self, documents: np.ndarray, most: int, both: bool = True) -> TextEnds:
        """The first and last `most` title tokens of some documents [n]; errors as `title`.

        both: False where the first are enough.
        """
        return text_ends(self._by_shard(documents), "title", len(documents), most, both)

    def body_ends(self, documents: np.ndarray, most: int, both: bool = True) -> TextEnds:
        """The same of body tokens."""
        return text_ends(self._by_shard(documents), "body", len(documents), most, both)

    def _by_shard(self, documents: np.ndarray) -> Iterator[InShard]:
        if len(documents) and not 0 <= documents.min() <= documents.max() < self.num_documents:
            raise IndexError(f"{self.name} has {self.num_documents} documents")
        documents = documents.astype(np.int64)
        if len(self._shards) == 1:
            yield self._shards[0], slice(None), documents
            return
        numbers = np.searchsorted(self._starts, documents, side="right") - 1
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        for number, places in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
            yield self._shards[number], places, documents[places] - self._starts[number]

    def _locate(self, index: int) -> tuple[Shard, int]:
        index = int(index)
        if not 0 <= index < self.num_documents:
            raise IndexError(f"{self.name} has {self.num_documents} documents, not {index}")
        shard = bisect_right(self._starts, index) - 1
        return self._shards[shard], index - self._starts[shard]


def _slice(values: np.ndarray, ends: np.ndarray, i: int) -> np.ndarray:
    return values[_start(ends, i) : ends.item(i)]


def _start(ends: np.ndarray, i: int) -> int:
    return ends.item(i - 1) if i else 0


def _lengths(ends: np.ndarray) -> np.ndarray:
    # Not np.diff of the unsigned ends: lengths are added and subtracted later.
    return np.diff(ends.astype(np.int64), prepend=0)


def _joined(columns: list[np.ndarray]) -> np.ndarray:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)
