"""New stores made of shards of others: taken whole by a second name, or copied in part."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_prep.store_tools.columns import borders, lengths, stored_paths
from data_prep.tokenise.assemble import FinishedShard, assemble, place_shard
from data_prep.tokenise.first_words import Beginnings
from data_prep.tokenise.shard_writer import Columns, ShardWriter, Tokens
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import CountryEntry, is_own_to_a_store
from geo_nemo.store.shard import Shard

# What is in memory at once.
COPIED_DOCUMENTS, COPIED_TOKENS = 4096, 1 << 22


def take_whole(store: TokenStore, shard: Shard, root: Path, split: str, place: str):
    """The shard as the shard `place` of the store `root`; its maps are not taken over."""
    files = {n: entry for n, entry in shard.entry.files.items() if not is_own_to_a_store(n)}
    place_shard(shard.root, files, root / place)
    tokens = lengths(shard.title_end) + lengths(shard.body_end)
    names = shard.entry.countries
    documents = np.bincount(shard.country_code, minlength=len(names))
    sums = np.bincount(shard.country_code, tokens, minlength=len(names))
    by_country = {
        name: CountryEntry(documents=int(documents[code]), tokens=int(sums[code]))
        for code, name in enumerate(names)
    }
    entry = shard.entry.model_copy(update={"path": place, "files": files})
    return FinishedShard(split, entry, by_country, lambda: _host_names(store, shard), root / place)


def copy_rows(
    sources: Iterable[tuple[TokenStore, Shard, np.ndarray]], root: Path, split: str, place: str
) -> FinishedShard:
    """A new shard of some rows of some shards, in this order; rows rise."""
    writer = None
    try:
        for store, shard, rows in sources:
            if writer is None:
                beginnings = Beginnings(store.tokenizer())
                writer = ShardWriter(root / place, store.manifest.dtype, beginnings)
            for part in _parts(shard, rows):
                writer.add(_columns(store, shard, part))
        written = writer.close(place)
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    return FinishedShard(
        split, written.entry, written.by_country, lambda: written.hosts, root / place
    )


def assemble_of(
    store: TokenStore,
    root: Path,
    shards: Sequence[FinishedShard],
    quarantine: dict[str, int] | None = None,
) -> None:
    """Make the folder `root` a store of shards that hold documents of `store` alone."""
    present = {country for shard in shards for country in shard.entry.countries}
    assemble(
        root,
        shards,
        store.tokenizer(),
        store.root / store.manifest.tokenizer.file,
        {country: store.continent_of[country] for country in present},
        quarantine or {},
        store.manifest.sources,
        {name: field.kind for name, field in store.manifest.fields.items()},
    )


def _parts(shard: Shard, rows: np.ndarray) -> Iterator[np.ndarray]:
    """`rows` in pieces of bounded size."""
    for start in range(0, len(rows), COPIED_DOCUMENTS):
        part = rows[start : start + COPIED_DOCUMENTS]
        before, after = borders(shard.body_end, part)
        sums = np.cumsum(np.subtract(after, before))
        cuts = np.flatnonzero(np.diff(sums // COPIED_TOKENS)) + 1
        yield from np.split(part, cuts)


def _columns(store: TokenStore, shard: Shard, rows: np.ndarray) -> Columns:
    hosts = [store.hosts[i] for i in shard.host_map[shard.host_code[rows]].tolist()]
    countries, sources = shard.entry.countries, shard.entry.sources
    return Columns(
        titles=_tokens(shard.title_tokens, shard.title_end, rows),
        bodies=_tokens(shard.body_tokens, shard.body_end, rows),
        country=[countries[code] for code in shard.country_code[rows].tolist()],
        host=hosts,
        source=[sources[code] for code in shard.source_code[rows].tolist()],
        path=list(stored_paths(shard, rows)),
        year=shard.year[rows],
        quality=shard.quality[rows],
        content_hash=shard.content_hash[rows],
        cluster=shard.cluster[rows],
        fields={name: column.joined(rows) for name, column in shard.fields.items()},
    )


def _tokens(values: np.ndarray, ends: np.ndarray, rows: np.ndarray) -> Tokens:
    starts, stops = borders(ends, rows)
    pieces = [values[start:stop] for start, stop in zip(starts, stops, strict=True)]
    ids = np.concatenate(pieces) if pieces else np.empty(0, values.dtype)
    return Tokens(ids, np.subtract(stops, starts).astype(np.int64))


def _host_names(store: TokenStore, shard: Shard) -> list[str]:
    return [store.hosts[i] for i in shard.host_map.tolist()]
