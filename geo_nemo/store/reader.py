"""Reading a token store: memory maps over the columns of each shard, and their checks."""

from functools import cached_property
from pathlib import Path

import numpy as np

from geo_nemo.config.errors import UserError
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.metadata.tokenizer import Tokenizer, load_tokenizer
from geo_nemo.store.manifest import (
    HOSTS_NAME,
    Manifest,
    ShardEntry,
    SplitEntry,
    mend,
    read_manifest,
)
from geo_nemo.store.verify import check_content, check_sizes


class Shard:
    """The columns of one shard, mapped on first use. Arrays are read-only views of the files."""

    def __init__(self, root: Path, entry: ShardEntry, manifest: Manifest):
        self.root = root / entry.path
        self.num_documents = entry.documents
        self._columns = manifest.columns()

    @cached_property
    def title_tokens(self) -> np.ndarray:
        return self._map("title.bin")

    @cached_property
    def body_tokens(self) -> np.ndarray:
        return self._map("body.bin")

    @cached_property
    def path_bytes(self) -> np.ndarray:
        return self._map("path.bin")

    @cached_property
    def title_end(self) -> np.ndarray:
        return self._map("title_end.bin")

    @cached_property
    def body_end(self) -> np.ndarray:
        return self._map("body_end.bin")

    @cached_property
    def path_end(self) -> np.ndarray:
        return self._map("path_end.bin")

    @cached_property
    def country(self) -> np.ndarray:
        return self._map("country.bin")

    @cached_property
    def host(self) -> np.ndarray:
        return self._map("host.bin")

    @cached_property
    def content_hash(self) -> np.ndarray:
        return self._map("hash.bin")

    def _map(self, name: str) -> np.ndarray:
        path, dtype = self.root / name, self._columns[name]
        try:
            if path.stat().st_size == 0:  # an empty file cannot be mapped
                return np.empty(0, dtype)
            # A plain view: slices of np.memmap itself cost several times as much to make.
            return np.asarray(np.memmap(path, dtype=dtype, mode="r"))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from None


class Split:
    """The documents of one split, numbered from 0 across its shards.

    `title(i)` and `body(i)` are token ids of `" " + title + "\\n\\n"` and `" " + body`; a document
    without title has an empty one.
    """

    def __init__(self, store: "TokenStore", name: str, entry: SplitEntry):
        self.name = name
        self.num_documents = entry.documents
        self.countries = store.countries
        self.hosts = store.hosts
        self._continent_of = store.continent_of
        self._shards = [Shard(store.root, shard, store.manifest) for shard in entry.shards]
        counts = [shard.num_documents for shard in self._shards]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def __len__(self) -> int:
        return self.num_documents

    @cached_property
    def title_lengths(self) -> np.ndarray:
        """Tokens of each title, int64 [n]."""
        return self._joined([np.diff(shard.title_end, prepend=0) for shard in self._shards])

    @cached_property
    def body_lengths(self) -> np.ndarray:
        """Tokens of each body, int64 [n]."""
        return self._joined([np.diff(shard.body_end, prepend=0) for shard in self._shards])

    @cached_property
    def country(self) -> np.ndarray:
        """Index of each document's country in `countries`, uint8 or uint16 [n]."""
        return self._joined([shard.country for shard in self._shards])

    @cached_property
    def host(self) -> np.ndarray:
        """Index of each document's host in `hosts`, uint32 [n]."""
        return self._joined([shard.host for shard in self._shards])

    @cached_property
    def content_hash(self) -> np.ndarray:
        """Hash of each document's text, uint64 [n]."""
        return self._joined([shard.content_hash for shard in self._shards])

    def title(self, index: int) -> np.ndarray:
        """Title tokens of document `index`; a view of the memory map."""
        shard, i = self._locate(index)
        return _slice(shard.title_tokens, shard.title_end, i)

    def body(self, index: int) -> np.ndarray:
        """Body tokens of document `index`; a view of the memory map."""
        shard, i = self._locate(index)
        return _slice(shard.body_tokens, shard.body_end, i)

    def record(self, index: int) -> MetadataRecord:
        """Metadata of document `index`. The scheme is not stored: it reads `https`."""
        shard, i = self._locate(index)
        country = self.countries[shard.country[i]]
        return MetadataRecord(
            host=self.hosts[shard.host[i]],
            country=country,
            continent=self._continent_of[country],
            path=_slice(shard.path_bytes, shard.path_end, i).tobytes().decode(),
        )

    def _locate(self, index: int) -> tuple[Shard, int]:
        index = int(index)
        if not 0 <= index < self.num_documents:
            raise IndexError(f"{self.name} has {self.num_documents} documents, not {index}")
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._shards[shard], index - int(self._starts[shard])

    def _joined(self, columns: list[np.ndarray]) -> np.ndarray:
        return columns[0] if len(columns) == 1 else np.concatenate(columns)


class TokenStore:
    """A token store on disk. `hash` identifies its content: 16 hex digits of the manifest's."""

    def __init__(self, root: Path, manifest: Manifest, content_hash: str):
        self.root = root
        self.manifest = manifest
        self.hash = content_hash
        self.countries = manifest.countries
        self.continent_of = manifest.continents

    @classmethod
    def open(cls, path: str | Path, *, check_hashes: bool = False) -> "TokenStore":
        """The store in folder `path`. File sizes are always compared with the manifest.

        check_hashes: read every file and compare its hash too.
        Raises UserError that names the file which is missing or does not match.
        """
        root = Path(path)
        manifest, content_hash = read_manifest(root)
        check_sizes(root, manifest)
        store = cls(root, manifest, content_hash)
        if check_hashes:
            store.verify()
        return store

    def verify(self, progress: Progress = no_progress) -> int:
        """Read the whole store and check it against its manifest; the number of bytes read.

        Checks each file's hash, and each column's meaning: offsets rise to the column's end, ids
        are below the vocabulary's size, countries and hosts exist, totals add up.
        Raises UserError that names the first file that does not match.
        """
        self.tokenizer()
        return check_content(self.root, self.manifest, progress)

    @cached_property
    def hosts(self) -> list[str]:
        """Host names; the host column indexes this list."""
        try:
            return (self.root / HOSTS_NAME).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UserError(f"cannot read {self.root / HOSTS_NAME}: {error.strerror}") from None

    def tokenizer(self) -> Tokenizer:
        """The store's tokenizer, from the copy inside the store. UserError when it was changed."""
        entry = self.manifest.tokenizer
        path = self.root / entry.file
        names = (
            {"bos": entry.bos, "eos": entry.eos, "pad": entry.pad}
            if entry.kind == "huggingface"
            else {}
        )
        try:
            tokenizer = load_tokenizer(path, **names)
        except UserError as error:
            raise UserError(f"{error}; {mend(self.root)}") from None
        ids = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id, tokenizer.vocab_size)
        same_ids = ids == (entry.bos_id, entry.eos_id, entry.pad_id, entry.vocab_size)
        if tokenizer.sha256 != entry.sha256 or not same_ids:
            raise UserError(f"{path} is not the tokenizer that made the store; {mend(self.root)}")
        return tokenizer

    def split(self, name: str) -> Split:
        """The split `name`. UserError where the store has none, or it is empty."""
        entry = self.manifest.splits.get(name)
        if entry is None:
            raise UserError(f"{self.root} has no split {name}, only {', '.join(self.splits)}")
        if entry.documents == 0:
            raise UserError(
                f"split {name} of {self.root} is empty: give prep more documents or a larger share"
            )
        return Split(self, name, entry)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, empty ones too."""
        return tuple(self.manifest.splits)


def _slice(values: np.ndarray, ends: np.ndarray, i: int) -> np.ndarray:
    return values[int(ends[i - 1]) if i else 0 : int(ends[i])]
