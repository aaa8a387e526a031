"""Writes a token store: columns of a shard at a time, the manifest last."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from geo_nemo.metadata.tokenizer import Tokenizer
from geo_nemo.store.manifest import (
    HOSTS_NAME,
    MANIFEST_NAME,
    SPLITS,
    CountryEntry,
    FileEntry,
    Manifest,
    ShardEntry,
    SourceEntry,
    SplitEntry,
    TokenizerEntry,
    token_dtype,
)


@dataclass(frozen=True, slots=True)
class StoreDocument:
    """One document as the store keeps it, all but its tokens.

    content_hash: 64 bits of the hash of the text.
    path: path and query of the URL, with the leading slash.
    """

    host: str
    country: str
    path: str
    content_hash: int


class HashedFile:
    """A file that knows its size and SHA-256 when it is closed, and is on disk by then."""

    def __init__(self, path: Path):
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._bytes += memoryview(data).nbytes

    def close(self) -> FileEntry:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return FileEntry(bytes=self._bytes, sha256=self._digest.hexdigest())

    def abandon(self) -> None:
        self._file.close()


class StoreWriter:
    """Fills the empty folder `root`; it is no store until `finish` has written the manifest.

    countries: every country of the corpus, sorted; its index is the value of the country column.
    continents: the continent of each of them.
    shard_documents: documents in a shard, at most.
    """

    def __init__(
        self,
        root: Path,
        tokenizer: Tokenizer,
        tokenizer_path: Path,
        countries: Sequence[str],
        continents: dict[str, str],
        shard_documents: int,
    ):
        self.root = root
        self.tokenizer = tokenizer
        self._shard_documents = shard_documents
        self._country_index = {country: i for i, country in enumerate(countries)}
        self._hosts: dict[str, int] = {}
        self._splits = {name: _SplitTotals(len(countries)) for name in SPLITS}
        names = tokenizer.pieces([tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id])
        file = "tokenizer.model" if tokenizer.kind == "sentencepiece" else "tokenizer.json"
        shutil.copyfile(tokenizer_path, root / file)
        self._manifest = Manifest(
            tokenizer=TokenizerEntry(
                file=file,
                kind=tokenizer.kind,
                sha256=tokenizer.sha256,
                vocab_size=tokenizer.vocab_size,
                bos_id=tokenizer.bos_id,
                eos_id=tokenizer.eos_id,
                pad_id=tokenizer.pad_id,
                bos=names[0],
                eos=names[1],
                pad=names[2],
            ),
            dtype=token_dtype(tokenizer.vocab_size),
            countries=tuple(countries),
            continents={country: continents[country] for country in countries},
            hosts=FileEntry(bytes=0, sha256=""),
            splits={},
            quarantine={},
            sources=(),
        )
        self._columns = self._manifest.columns()
        self._open: dict[str, _ShardColumns] = {}

    def add(
        self,
        split: str,
        documents: Sequence[StoreDocument],
        titles: Sequence[Sequence[int]],
        bodies: Sequence[Sequence[int]],
    ) -> None:
        """Append documents with the token ids of their titles and bodies, in the same order."""
        start = 0
        while start < len(documents):
            shard = self._open.get(split) or self._start_shard(split)
            take = min(len(documents) - start, self._shard_documents - shard.documents)
            part = slice(start, start + take)
            self._write(split, shard, documents[part], titles[part], bodies[part])
            start += take
            if shard.documents == self._shard_documents:
                self._finish_shard(split)

    def finish(self, quarantine: dict[str, int], sources: Iterable[SourceEntry]) -> Manifest:
        """Close every file, write `hosts.txt`, and the manifest last."""
        for split in list(self._open):
            self._finish_shard(split)
        hosts = HashedFile(self.root / HOSTS_NAME)
        hosts.write("".join(f"{host}\n" for host in self._hosts).encode())
        countries = self._manifest.countries
        manifest = self._manifest.model_copy(
            update={
                "hosts": hosts.close(),
                "splits": {name: s.entry(countries) for name, s in self._splits.items()},
                "quarantine": dict(sorted(quarantine.items())),
                "sources": tuple(sources),
            }
        )
        written = HashedFile(self.root / MANIFEST_NAME)
        written.write(manifest.to_bytes())
        written.close()
        return manifest

    def abandon(self) -> None:
        """Close files after an error, leaving the folder as it is."""
        for shard in self._open.values():
            shard.abandon()

    def _start_shard(self, split: str) -> "_ShardColumns":
        folder = self.root / split / f"{len(self._splits[split].shards):05d}"
        folder.mkdir(parents=True)
        self._open[split] = _ShardColumns(folder, self._columns)
        return self._open[split]

    def _finish_shard(self, split: str) -> None:
        shard = self._open.pop(split)
        totals = self._splits[split]
        path = f"{split}/{len(totals.shards):05d}"
        totals.shards.append(ShardEntry(path=path, documents=shard.documents, files=shard.close()))

    def _write(
        self,
        split: str,
        shard: "_ShardColumns",
        documents: Sequence[StoreDocument],
        titles: Sequence[Sequence[int]],
        bodies: Sequence[Sequence[int]],
    ) -> None:
        hosts = self._hosts
        host = [hosts.setdefault(document.host, len(hosts)) for document in documents]
        country = np.array([self._country_index[d.country] for d in documents])
        title_lengths, body_lengths = _lengths(titles), _lengths(bodies)
        paths = [document.path.encode() for document in documents]
        shard.append("title", titles, title_lengths)
        shard.append("body", bodies, body_lengths)
        shard.append_bytes("path", paths)
        shard.append_column("country", country)
        shard.append_column("host", host)
        shard.append_column("hash", np.array([d.content_hash for d in documents], np.uint64))
        shard.documents += len(documents)
        self._splits[split].count(country, title_lengths, body_lengths)


class _ShardColumns:
    """The open columns of one shard and the running ends of those with offsets."""

    def __init__(self, folder: Path, columns: dict[str, np.dtype]):
        self.documents = 0
        self._columns = columns
        self._files = {name: HashedFile(folder / name) for name in columns}
        self._ends = {"title": 0, "body": 0, "path": 0}

    def append(self, name: str, parts: Sequence[Sequence[int]], lengths: np.ndarray) -> None:
        flat = np.fromiter(
            chain.from_iterable(parts),
            self._columns[f"{name}.bin"],
            count=int(lengths.sum()),
        )
        self._files[f"{name}.bin"].write(flat.data)
        self._append_ends(name, lengths)

    def append_bytes(self, name: str, parts: Sequence[bytes]) -> None:
        self._files[f"{name}.bin"].write(b"".join(parts))
        self._append_ends(name, _lengths(parts))

    def append_column(self, name: str, values: np.ndarray | list[int]) -> None:
        column = np.asarray(values).astype(self._columns[f"{name}.bin"])
        self._files[f"{name}.bin"].write(column.data)

    def close(self) -> dict[str, FileEntry]:
        return {name: file.close() for name, file in self._files.items()}

    def abandon(self) -> None:
        for file in self._files.values():
            file.abandon()

    def _append_ends(self, name: str, lengths: np.ndarray) -> None:
        ends = self._ends[name] + np.cumsum(lengths, dtype=np.int64)
        self._ends[name] = int(ends[-1])
        self._files[f"{name}_end.bin"].write(ends.data)


class _SplitTotals:
    """Documents and tokens of a split, by country."""

    def __init__(self, num_countries: int):
        self.shards: list[ShardEntry] = []
        self._documents = np.zeros(num_countries, np.int64)
        self._tokens = np.zeros(num_countries, np.int64)
        self._title_tokens = 0
        self._body_tokens = 0

    def count(self, country: np.ndarray, titles: np.ndarray, bodies: np.ndarray) -> None:
        np.add.at(self._documents, country, 1)
        np.add.at(self._tokens, country, titles + bodies)
        self._title_tokens += int(titles.sum())
        self._body_tokens += int(bodies.sum())

    def entry(self, countries: Sequence[str]) -> SplitEntry:
        present = [(i, country) for i, country in enumerate(countries) if self._documents[i]]
        return SplitEntry(
            documents=int(self._documents.sum()),
            title_tokens=self._title_tokens,
            body_tokens=self._body_tokens,
            by_country={
                country: CountryEntry(
                    documents=int(self._documents[i]), tokens=int(self._tokens[i])
                )
                for i, country in present
            },
            shards=tuple(self.shards),
        )


def _lengths(parts: Sequence[Sequence]) -> np.ndarray:
    return np.fromiter(map(len, parts), np.int64, count=len(parts))
