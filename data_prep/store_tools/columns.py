"""Columns of a shard by the names a person gives them, and its documents in order."""

from collections.abc import Iterator

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.metadata.record import NOTHING, MetadataRecord
from geo_nemo.store import TokenStore
from geo_nemo.store.field_column import DocumentFields
from geo_nemo.store.manifest import known_quality
from geo_nemo.store.paths import BLOCK, DEFAULT_SCHEME, split_scheme
from geo_nemo.store.shard import Shard

NAMES = ("country", "continent", "host", "source")
NUMBERS = ("year", "quality", "tokens")
CHUNK = 4096


def names_of(store: TokenStore, column: str) -> list[str]:
    """What the values of a column of NAMES stand for, in the whole store."""
    if column == "host":
        return store.hosts
    lists = {"country": store.countries, "continent": store.continents, "source": store.sources}
    return list(lists[column])


def values_of(store: TokenStore, shard: Shard, column: str) -> np.ndarray:
    """A column of NAMES, as indices into `names_of`, or of NUMBERS; [documents of the shard].

    tokens: of title and body, int64.
    """
    if column == "continent":
        return continent_of_country(store)[shard.country]
    if column == "tokens":
        return lengths(shard.title_end) + lengths(shard.body_end)
    return getattr(shard, column)


def continent_of_country(store: TokenStore) -> np.ndarray:
    """Index of the continent of each of the store's countries."""
    index = {name: i for i, name in enumerate(store.continents)}
    return np.array([index[store.continent_of[c]] for c in store.countries], np.uint8)


def lengths(ends: np.ndarray) -> np.ndarray:
    """int64 [n] of an `_end` column."""
    return np.diff(ends.astype(np.int64), prepend=0)


def documents(
    store: TokenStore, shard: Shard, chosen: np.ndarray | None = None, with_path: bool = True
) -> Iterator[tuple[MetadataRecord, np.ndarray, np.ndarray]]:
    """Record, title and body ids of the documents of a shard, in order.

    chosen: rising numbers within the shard; None is all. with_path: without it, paths are empty.
    """
    if chosen is None:
        chosen = np.arange(shard.num_documents)
    hosts, origins = store.hosts, store.origins
    paths, fields = stored_paths(shard, chosen), shard.fields
    for start in range(0, len(chosen), CHUNK):
        rows = chosen[start : start + CHUNK]
        columns = (
            shard.country_map[shard.country_code[rows]].tolist(),
            shard.host_map[shard.host_code[rows]].tolist(),
            shard.year[rows].tolist(),
            shard.quality[rows].tolist(),
            shard.source_map[shard.source_code[rows]].tolist(),
            *borders(shard.title_end, rows),
            *borders(shard.body_end, rows),
            rows.tolist(),
        )
        for country, host, year, quality, source, title, title_end, body, body_end, row in zip(
            *columns, strict=True
        ):
            scheme, path = split_scheme(next(paths)) if with_path else (DEFAULT_SCHEME, "")
            code, continent = origins[country]
            record = MetadataRecord(
                host=hosts[host],
                country=code,
                continent=continent,
                path=path,
                scheme=scheme,
                year=year,
                quality=known_quality(quality),
                source=store.sources[source],
                extra=DocumentFields(fields, row) if fields else NOTHING,
            )
            yield record, shard.title_tokens[title:title_end], shard.body_tokens[body:body_end]


def stored_paths(shard: Shard, rows: np.ndarray) -> Iterator[str]:
    """The paths of rising `rows` as the store keeps them; each block is unpacked once."""
    number, block = -1, []
    for row in rows:
        if row // BLOCK != number:
            number = int(row) // BLOCK
            try:
                block = shard.paths.block(number)
            except (ValueError, IndexError) as error:
                raise UserError(f"{shard.root / 'path.bin'} is damaged: {error}") from None
        yield block[row % BLOCK]


def borders(ends: np.ndarray, rows: np.ndarray) -> tuple[list[int], list[int]]:
    """Where the values of each of `rows` start and end."""
    starts = np.where(rows > 0, ends[np.maximum(rows, 1) - 1], 0)
    return starts.tolist(), ends[rows].tolist()
