"""Counts a store's documents and tokens by country, host, year, source and fields, and lengths.

One pass over the columns, shard by shard; texts are not read. Memory is that of one shard's
columns, and 16 bytes a host and a value of a field.
"""

from collections.abc import Sequence

import numpy as np

from data_prep.store_tools.columns import continent_of_country, lengths
from data_prep.store_tools.fields import FieldCount, FieldTally
from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config.section import NonNegative, Section
from geo_nemo.store import TokenStore
from geo_nemo.store.shard import Shard

# Lengths are counted one by one below this; longer documents together.
COUNTED_TOKENS = 1 << 16
# Four bins an octave.
EDGES = tuple(int(e) for e in np.unique(np.round(2 ** (np.arange(0, 16 * 4 + 1) / 4))))
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
YEARS = 10_000


class Count(Section):
    """Documents and tokens (of titles and bodies) of one value of a column."""

    name: str
    documents: NonNegative
    tokens: NonNegative


class CountryCount(Count):
    continent: str


class SplitCount(Count):
    """One split; `titled` documents have a title."""

    title_tokens: NonNegative
    titled: NonNegative


class Bin(Section):
    """Documents with `low` <= value < `high`; the last bin has no end."""

    low: int
    high: int | None
    documents: NonNegative


class StoreStats(Section):
    """What `geo-nemo store stats` finds.

    hosts: those with most tokens; `num_hosts` is of all. years: "0" is unknown.
    fields: of the user's own, and dates and languages; values with most tokens, as many as hosts.
    length_quantiles: tokens of a document, by share; `longest` is the largest.
    other_lengths_from: quantiles at this value are "at least".
    """

    store: str
    hash: str
    tokenizer: str
    vocab_size: int
    bytes: NonNegative
    documents: NonNegative
    tokens: NonNegative
    splits: tuple[SplitCount, ...]
    continents: tuple[Count, ...]
    countries: tuple[CountryCount, ...]
    num_hosts: NonNegative
    hosts: tuple[Count, ...]
    sources: tuple[Count, ...]
    years: tuple[Count, ...]
    fields: tuple[FieldCount, ...]
    quality: tuple[Bin, ...]
    lengths: tuple[Bin, ...]
    length_quantiles: dict[str, int]
    longest: NonNegative
    other_lengths_from: int = COUNTED_TOKENS


def store_stats(
    store: TokenStore,
    split_names: Sequence[str] = (),
    top_hosts: int = 25,
    progress: Progress = no_progress,
) -> StoreStats:
    """Count the documents of the splits (all when none is named).

    Raises UserError for a split that the store has not, or splits without any document.
    """
    names = tuple(split_names) or store.splits
    for name in names:
        if name not in store.splits:
            raise UserError(f"{store.root} has no split {name}, only {', '.join(store.splits)}")
    total = sum(store.manifest.splits[name].documents for name in names)
    if not total:
        raise UserError(f"{store.root} has no documents in {', '.join(names)}")
    tally = _Tally(store)
    splits = []
    for name in names:
        titled = 0
        for shard in store.shards(name):
            titled += tally.add(shard)
            progress("count", tally.documents, total, name)
        entry = store.manifest.splits[name]
        splits.append(
            SplitCount(
                name=name,
                documents=entry.documents,
                tokens=entry.title_tokens + entry.body_tokens,
                title_tokens=entry.title_tokens,
                titled=titled,
            )
        )
    return tally.stats(splits, top_hosts)


class _Tally:
    """Running counts; every array is [2, values]: documents and tokens."""

    def __init__(self, store: TokenStore):
        self.documents = 0
        self._store = store
        self._country = np.zeros((2, len(store.countries)), np.int64)
        self._source = np.zeros((2, len(store.sources)), np.int64)
        self._host = np.zeros((2, len(store.hosts)), np.int64)
        self._year = np.zeros((2, YEARS), np.int64)
        self._quality = np.zeros(256, np.int64)
        self._length = np.zeros(COUNTED_TOKENS + 1, np.int64)
        self._longest = 0
        self._fields = FieldTally(store)

    def add(self, shard: Shard) -> int:
        """Count a shard's documents; how many have a title."""
        titles = lengths(shard.title_end)
        tokens = titles + lengths(shard.body_end)
        _count(self._country, shard.country_code, tokens, shard.country_map)
        _count(self._source, shard.source_code, tokens, shard.source_map)
        _count(self._host, shard.host_code, tokens, shard.host_map)
        _count(self._year, np.clip(shard.year, 0, YEARS - 1), tokens, np.arange(YEARS))
        self._fields.add(shard, tokens)
        self._quality += np.bincount(shard.quality, minlength=256)
        self._length += np.bincount(
            np.minimum(tokens, COUNTED_TOKENS), minlength=COUNTED_TOKENS + 1
        )
        self._longest = max(self._longest, int(tokens.max(initial=0)))
        self.documents += shard.num_documents
        return int(np.count_nonzero(titles))

    def stats(self, splits: list[SplitCount], top_hosts: int) -> StoreStats:
        store, manifest = self._store, self._store.manifest
        of_country = continent_of_country(store)
        continents = np.zeros((2, len(store.continents)), np.int64)
        np.add.at(continents, (slice(None), of_country), self._country)
        countries = [
            CountryCount(**count.model_dump(), continent=store.continent_of[count.name])
            for count in _counts(self._country, store.countries)
        ]
        kept = np.lexsort((np.arange(self._host.shape[1]), -self._host[1]))[:top_hosts]
        hosts = _counts(self._host[:, kept], [store.hosts[i] for i in kept])
        return StoreStats(
            store=str(store.root),
            hash=store.hash,
            tokenizer=manifest.tokenizer.kind,
            vocab_size=manifest.tokenizer.vocab_size,
            bytes=_bytes(store),
            documents=self.documents,
            tokens=int(self._country[1].sum()),
            splits=tuple(splits),
            continents=tuple(_counts(continents, store.continents)),
            countries=tuple(countries),
            num_hosts=int(np.count_nonzero(self._host[0])),
            hosts=tuple(hosts),
            sources=tuple(_counts(self._source, store.sources)),
            fields=self._fields.counts(top_hosts),
            years=tuple(_counts(self._year, [str(year) for year in range(YEARS)], sort=False)),
            quality=_bins(self._quality[:101], range(0, 100, 5)),
            lengths=_bins(self._length, (0, *EDGES)),
            length_quantiles=self._quantiles(),
            longest=self._longest,
        )

    def _quantiles(self) -> dict[str, int]:
        """The smallest length that at least this fraction of documents does not exceed."""
        below = np.cumsum(self._length)
        wanted = [int(np.ceil(q * below[-1])) for q in QUANTILES]
        found = np.searchsorted(below, wanted)
        return {f"{q:g}": int(value) for q, value in zip(QUANTILES, found, strict=True)}


def _count(into: np.ndarray, codes: np.ndarray, tokens: np.ndarray, code_map: np.ndarray) -> None:
    """Add documents and tokens by code; `code_map` is the place of each code in `into`."""
    size = len(code_map)
    into[0, code_map] += np.bincount(codes, minlength=size)
    # Sums of tokens are exact in float64 up to 2^53 a shard.
    into[1, code_map] += np.bincount(codes, tokens, minlength=size).astype(np.int64)


def _counts(table: np.ndarray, names: Sequence[str], sort: bool = True) -> list[Count]:
    """One a value that documents have; most tokens first, or in the order of `names`."""
    present = np.flatnonzero(table[0])
    if sort:
        present = present[np.argsort(-table[1, present], kind="stable")]
    return [
        Count(name=names[i], documents=int(table[0, i]), tokens=int(table[1, i])) for i in present
    ]


def _bins(counts: np.ndarray, edges: Sequence[int]) -> tuple[Bin, ...]:
    """Bins from the first to the last that is not empty."""
    sums = np.add.reduceat(counts, edges) if len(counts) else np.zeros(len(edges), np.int64)
    highs = [*edges[1:], None]
    bins = [
        Bin(low=low, high=high, documents=int(n))
        for low, high, n in zip(edges, highs, sums, strict=True)
    ]
    filled = [i for i, b in enumerate(bins) if b.documents]
    return tuple(bins[filled[0] : filled[-1] + 1]) if filled else ()


def _bytes(store: TokenStore) -> int:
    entries = [store.manifest.hosts]
    for field in store.manifest.fields.values():
        entries += field.files.values()
    for split in store.manifest.splits.values():
        for shard in split.shards:
            entries += shard.files.values()
    return sum(entry.bytes for entry in entries)
