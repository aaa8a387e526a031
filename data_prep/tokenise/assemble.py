"""Makes a store of finished shards: host table, tokenizer, and the manifest last.

In memory: the host names of all shards (about 200 bytes each), then the values of one field of the
user's own at a time, and the manifest.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.tokenise.field_writer import MOST_VALUES, write_fields
from data_prep.tokenise.hashed_file import HashedFile, write_column
from geo_nemo.common.files import writing
from geo_nemo.store.manifest import (
    HOSTS_NAME,
    MANIFEST_NAME,
    SPLITS,
    CountryEntry,
    FieldKind,
    Manifest,
    ShardEntry,
    SourceEntry,
    SplitEntry,
    token_dtype,
)
from geo_nemo.store.tokenizer import tokenizer_entry
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.load import copy_tokenizer


@dataclass(frozen=True)
class FinishedShard:
    """A shard that stands in its place in the store.

    hosts: reads the names of the shard's hosts, in the order of their codes.
    folder: where its files are now.
    """

    split: str
    entry: ShardEntry
    by_country: dict[str, CountryEntry]
    hosts: Callable[[], Sequence[str]]
    folder: Path


def assemble(
    root: Path,
    shards: Sequence[FinishedShard],
    tokenizer: Tokenizer,
    tokenizer_path: Path,
    continents: dict[str, str],
    quarantine: dict[str, int],
    sources: Iterable[SourceEntry],
    kinds: Mapping[str, FieldKind],
    most_values: int = MOST_VALUES,
) -> Manifest:
    """Write hosts.txt, the values of fields, each shard's maps, the tokenizer and the manifest.

    root: of the store. continents: of every country of the corpus; one that a shard has must be in
    it. kinds: of the fields of the user's own. most_values: that are numbered of one of them.
    """
    hosts = sorted({host for shard in shards for host in shard.hosts()})
    hosts_entry = _write_hosts(root / HOSTS_NAME, hosts)
    index = {host: number for number, host in enumerate(hosts)}
    entries: dict[str, list[ShardEntry]] = {split: [] for split in SPLITS}
    places = [(shard.folder, shard.entry) for shard in shards]
    fields, maps = write_fields(root, places, kinds, most_values)
    for shard, field_maps in zip(shards, maps, strict=True):
        lines = np.array([index[host] for host in shard.hosts()], np.uint32)
        host_map = write_column(root / shard.entry.path / "host_map.bin", lines)
        files = dict(sorted({**shard.entry.files, **field_maps, "host_map.bin": host_map}.items()))
        entries[shard.split].append(shard.entry.model_copy(update={"files": files}))
    manifest = Manifest(
        tokenizer=tokenizer_entry(tokenizer, copy_tokenizer(tokenizer_path, root, tokenizer.kind)),
        dtype=token_dtype(tokenizer.vocab_size),
        countries=tuple(sorted(continents)),
        continents=dict(sorted(continents.items())),
        source_names=tuple(sorted({name for shard in shards for name in shard.entry.sources})),
        hosts=hosts_entry,
        splits={
            split: _split_entry(found, [s.by_country for s in shards if s.split == split])
            for split, found in entries.items()
        },
        quarantine=dict(sorted(quarantine.items())),
        sources=tuple(sources),
        fields=fields,
    )
    written = HashedFile(root / MANIFEST_NAME)
    written.write(manifest.to_bytes())
    written.close()
    return manifest


def place_shard(source: Path, files: Iterable[str], target: Path) -> None:
    """Give the files of a finished shard a second name in `target`, or copy them to it.

    They are never written again, so that two names of one file do no harm.
    """
    with writing(target):
        target.mkdir(parents=True)
        for name in files:
            try:
                os.link(source / name, target / name)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(source / name, target / name)


def _write_hosts(path: Path, hosts: list[str]):
    file = HashedFile(path)
    file.write("".join(f"{host}\n" for host in hosts).encode())
    return file.close()


def _split_entry(
    shards: list[ShardEntry], by_country: Iterable[dict[str, CountryEntry]]
) -> SplitEntry:
    documents: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for counts in by_country:
        for country, entry in counts.items():
            documents[country] += entry.documents
            tokens[country] += entry.tokens
    return SplitEntry(
        documents=sum(shard.documents for shard in shards),
        title_tokens=sum(shard.title_tokens for shard in shards),
        body_tokens=sum(shard.body_tokens for shard in shards),
        by_country={
            country: CountryEntry(documents=documents[country], tokens=tokens[country])
            for country in sorted(documents)
        },
        shards=tuple(shards),
    )
