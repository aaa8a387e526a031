"""Reading a token store: memory maps over the columns of each shard, and their checks."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from geo_nemo.common.addresses import is_remote
from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.metadata.record import KEY_OF
from geo_nemo.store.field_column import FieldValues, TextColumn
from geo_nemo.store.manifest import (
    HOSTS_NAME,
    Manifest,
    field_file,
    read_manifest,
    values_file,
)
from geo_nemo.store.remote import COLUMNS_SUFFIX, fetch_store
from geo_nemo.store.shard import Shard, read_column
from geo_nemo.store.split import Split
from geo_nemo.store.tokenizer import open_tokenizer
from geo_nemo.store.verify import check_content, check_manifest, check_sizes
from geo_nemo.tokenizers.base import Tokenizer


class TokenStore:
    """A token store on disk. `hash` identifies its content: 16 hex digits of the manifest's.

    root: its folder here. address: what it was opened by, that folder or one on `s3://`.
    """

    def __init__(self, root: Path, manifest: Manifest, content_hash: str, address: str = ""):
        self.root = root
        self.address = address or str(root)
        self.manifest = manifest
        self.hash = content_hash
        self.countries = manifest.countries
        self.continent_of = manifest.continents
        self.continents = tuple(sorted(set(manifest.continents.values())))
        self.sources = manifest.source_names

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        check_hashes: bool = False,
        cache_dir: str | Path | None = None,
        progress: Progress = no_progress,
        tokens: bool = True,
        sizes: bool = True,
    ) -> "TokenStore":
        """The store in folder `path`. File sizes are compared with the manifest.

        A `path` on `s3://` is copied first, where that was not done, to a folder of `cache_dir`
        (see geo_nemo.store.remote), which `progress` shows.
        check_hashes: read every file and compare its hash too.
        tokens: False is for who asks for no title and body: a copy without them will do.
        sizes: False is for a process beside another on its machine, which compares them.
        Raises UserError that names the file which is missing or does not match.
        """
        root = Path(path)
        if is_remote(path):
            root = fetch_store(str(path), cache_dir, progress, tokens)
        manifest, content_hash = read_manifest(root)
        if sizes:
            check_sizes(root, manifest, tokens or not root.name.endswith(COLUMNS_SUFFIX))
        else:
            check_manifest(root, manifest)
        store = cls(root, manifest, content_hash, str(path))
        if check_hashes:
            store.verify()
        return store

    def verify(
        self,
        progress: Progress = no_progress,
        workers: int = 0,
        splits: Sequence[str] | None = None,
    ) -> int:
        """Read the whole store and check it against its manifest; the number of bytes read.

        Checks each file's hash, and each column's meaning: offsets rise to the column's end, ids
        are below the vocabulary's size, countries and hosts exist, totals add up.
        workers: shards checked at the same time; 0 is one a core. splits: these alone.
        Raises UserError that names every file that does not match.
        """
        self.tokenizer()
        manifest = self.manifest
        if splits is not None:
            kept = {name: manifest.splits[name] for name in splits}
            manifest = manifest.model_copy(update={"splits": kept})
        return check_content(self.root, manifest, progress, workers)

    def shards(self, name: str) -> list[Shard]:
        """The shards of split `name`, in order."""
        countries = {country: i for i, country in enumerate(self.countries)}
        sources = {source: i for i, source in enumerate(self.sources)}
        shards = []
        # Free text, and lists, are numbered by the shard: here its numbers go behind those before.
        first = {n: 0 for n, field in self.manifest.fields.items() if field.many or not field.files}
        for entry in self.manifest.splits[name].shards:
            shards.append(Shard(self.root, entry, countries, sources, dict(first)))
            for field in first:
                parts = (entry.files.get(field_file(field, part)) for part in ("item_end", "end"))
                ends = next(filter(None, parts), None)
                if ends is not None:
                    first[field] += ends.bytes // np.dtype(ends.dtype).itemsize - 1
        return shards

    @cached_property
    def hosts(self) -> list[str]:
        """Host names; the host column indexes this list."""
        try:
            return (self.root / HOSTS_NAME).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UserError(f"cannot read {self.root / HOSTS_NAME}: {error.strerror}") from None

    def values(self, field: str) -> Sequence[str] | None:
        """The values of a field of the user's own, which its codes index; the first is `unknown`.

        Of a field whose documents have several, those of all lists. None where the store numbers
        none, as of free text. KeyError for a field that there is not.
        """
        files = self.manifest.fields[field].files
        if not files:
            return None
        text, end = (
            read_column(self.root / values_file(field, part), files[part].dtype)
            for part in ("text", "end")
        )
        return FieldValues(TextColumn(text, end))

    def tokenizer(self) -> Tokenizer:
        """The store's tokenizer, from the copy inside the store. UserError when it was changed."""
        return open_tokenizer(self.root, self.manifest.tokenizer)

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
    def lists(self) -> frozenset[str]:
        """Fields of the user's own of which a document may have several values."""
        return frozenset(name for name, entry in self.manifest.fields.items() if entry.many)

    @property
    def origins(self) -> list[tuple[str, str]]:
        """Country and continent of a record by the index of its country; empty where unknown."""
        told = [(c, self.continent_of[c]) for c in self.countries]
        return [("", "") if country == UNKNOWN else (country, of) for country, of in told]

    @property
    def columns(self) -> tuple[str, ...]:
        """What is known of each document, for metadata fields."""
        return (*KEY_OF, *self.manifest.fields)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, empty ones too."""
        return tuple(self.manifest.splits)
