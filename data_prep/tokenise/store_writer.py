"""Writes a whole token store in one process, from documents and their ids."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from data_prep.tokenise.assemble import FinishedShard, assemble
from data_prep.tokenise.first_words import Beginnings
from data_prep.tokenise.shard_writer import Columns, ShardWriter, Tokens, WrittenShard
from geo_nemo.store.field_column import SEVERAL
from geo_nemo.store.manifest import FieldKind, Manifest, SourceEntry, token_dtype
from geo_nemo.store.paths import DEFAULT_SCHEME, with_scheme
from geo_nemo.tokenizers.base import Tokenizer

DEFAULT_SOURCE = "default"


@dataclass(frozen=True, slots=True)
class StoreDocument:
    """One document as the store keeps it, all but its tokens.

    path: path and query of the URL, with the leading slash.
    content_hash: 64 bits of the hash of the text.
    year: 0 where it is unknown. quality: 0 to 100. source: name of the input source.
    cluster: of near-duplicates; None where the document is alone.
    fields: of the user's own; a tuple where the document has several values.
    """

    host: str
    country: str
    path: str
    content_hash: int
    year: int = 0
    quality: int = 0
    source: str = DEFAULT_SOURCE
    cluster: int | None = None
    scheme: str = DEFAULT_SCHEME
    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


class StoreWriter:
    """Fills the empty folder `root`; it is no store until `finish` has written the manifest.

    countries: every country of the corpus. continents: the continent of each of them.
    shard_documents: documents in a shard, at most.
    kinds: of fields of the user's own; one that is not named is a category.
    """

    def __init__(
        self,
        root: Path,
        tokenizer: Tokenizer,
        tokenizer_path: Path,
        countries: Sequence[str],
        continents: dict[str, str],
        shard_documents: int,
        kinds: Mapping[str, FieldKind] | None = None,
    ):
        self.root = root
        self.tokenizer = tokenizer
        self._tokenizer_path = tokenizer_path
        self._continents = {country: continents[country] for country in countries}
        self._shard_documents = shard_documents
        self._kinds = kinds or {}
        self._dtype = token_dtype(tokenizer.vocab_size)
        self._beginnings = Beginnings(tokenizer)
        self._open: dict[str, ShardWriter] = {}
        self._written: list[tuple[str, WrittenShard]] = []

    def add(
        self,
        split: str,
        documents: Sequence[StoreDocument],
        titles: Sequence[Sequence[int]],
        bodies: Sequence[Sequence[int]],
    ) -> None:
        """Append documents with the token ids of their titles and bodies, in the same order."""
        unknown = {document.country for document in documents} - self._continents.keys()
        if unknown:
            raise ValueError(f"countries {sorted(unknown)} are not among the store's")
        columns = _columns(documents, titles, bodies, self._dtype)
        start = 0
        while start < len(documents):
            shard = self._open.get(split) or self._start_shard(split)
            take = min(len(documents) - start, self._shard_documents - shard.documents)
            shard.add(columns[start : start + take])
            start += take
            if shard.documents == self._shard_documents:
                self._finish_shard(split)

    def finish(self, quarantine: dict[str, int], sources: Iterable[SourceEntry]) -> Manifest:
        """Close every file, write `hosts.txt`, and the manifest last."""
        for split in list(self._open):
            self._finish_shard(split)
        finished = [
            FinishedShard(
                split,
                shard.entry,
                shard.by_country,
                lambda shard=shard: shard.hosts,
                self.root / shard.entry.path,
            )
            for split, shard in self._written
        ]
        return assemble(
            self.root,
            finished,
            self.tokenizer,
            self._tokenizer_path,
            self._continents,
            quarantine,
            sources,
            self._kinds,
        )

    def abandon(self) -> None:
        """Close files after an error, leaving the folder as it is."""
        for shard in self._open.values():
            shard.abandon()

    def _start_shard(self, split: str) -> ShardWriter:
        self._open[split] = ShardWriter(
            self.root / self._place(split), self._dtype, self._beginnings
        )
        return self._open[split]

    def _finish_shard(self, split: str) -> None:
        place = self._place(split)
        self._written.append((split, self._open.pop(split).close(place)))

    def _place(self, split: str) -> str:
        return shard_place(split, sum(name == split for name, _ in self._written))


def shard_place(split: str, number: int) -> str:
    """Where the shard `number` of a split stands in its store."""
    return f"{split}/{number:05d}"


def _columns(
    documents: Sequence[StoreDocument],
    titles: Sequence[Sequence[int]],
    bodies: Sequence[Sequence[int]],
    dtype: str,
) -> Columns:
    hashes = np.array([d.content_hash for d in documents], np.uint64)
    clusters = [d.content_hash if d.cluster is None else d.cluster for d in documents]
    return Columns(
        titles=flat_tokens(titles, dtype),
        bodies=flat_tokens(bodies, dtype),
        country=[d.country for d in documents],
        host=[d.host for d in documents],
        source=[d.source for d in documents],
        path=[with_scheme(d.scheme, d.path) for d in documents],
        year=np.array([d.year for d in documents], np.int16),
        quality=np.array([d.quality for d in documents], np.uint8),
        content_hash=hashes,
        cluster=np.array(clusters, np.uint64),
        fields={
            name: [_joined(document.fields.get(name)) for document in documents]
            for name in sorted({name for document in documents for name in document.fields})
        },
    )


def _joined(value: str | tuple[str, ...] | None) -> str | None:
    return SEVERAL.join(value) if isinstance(value, tuple) else value


def flat_tokens(parts: Sequence[Sequence[int]], dtype: str) -> Tokens:
    """Lists of ids as one array."""
    lengths = np.fromiter(map(len, parts), np.int64, count=len(parts))
    ids = np.fromiter(chain.from_iterable(parts), dtype, count=int(lengths.sum()))
    return Tokens(ids, lengths)
