"""A small store drawn from a large one: by chance, by country, under conditions; reproducible.

A document's draw is a hash of its content hash and the seed, so the same documents come whatever
the order of the store and the number of its shards. Memory is 24 bytes a document of the sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.store_tools.output import check_free, move_store, workplace
from data_prep.store_tools.rewrite import assemble_of, copy_rows
from data_prep.store_tools.where import EVERYTHING, Where
from data_prep.tokenise.assemble import FinishedShard
from data_prep.tokenise.store_writer import shard_place
from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import SPLITS

SHARD_DOCUMENTS = 1 << 17
_SPARE = 1 << 16


@dataclass(frozen=True)
class Sampled:
    """matching: documents under the conditions. documents: those drawn. countries: of those."""

    matching: int
    documents: int
    countries: int
    by_split: dict[str, int]
    hash: str


def sample_store(
    root: Path,
    out: Path,
    documents: int,
    seed: int = 0,
    per_country: bool = False,
    where: Where = EVERYTHING,
    split_names: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Sampled:
    """Make the store `out` of `documents` documents of the store `root`, or of all that match.

    Splits give in proportion to what matches in them, and at least one document each as far as
    `documents` goes. per_country: within a split every country gives the same number, as far as it
    has so many; what it lacks, the others give.
    Raises UserError where nothing matches, a split is not there, or `out` exists.
    """
    check_free(out)
    store = TokenStore.open(root)
    for name in split_names:
        if name not in store.splits:
            raise UserError(f"{root} has no split {name}, only {', '.join(store.splits)}")
    names = [name for name in SPLITS if name in (split_names or store.splits)]
    draw = _Draw(store, names, where, seed, progress)
    counts = draw.counts()
    matching = int(counts.sum())
    if not matching:
        conditions = f" has {where}" if where.conditions else ""
        raise UserError(f"no document in {', '.join(names)} of {root}{conditions}")
    wanted = fractions(documents, counts.sum(axis=1))
    with workplace(out) as folder:
        made = folder / "store"
        made.mkdir()
        shards: list[FinishedShard] = []
        for number, name in enumerate(names):
            quotas = even(int(wanted[number]), counts[number]) if per_country else None
            rows = draw.rows(number, int(wanted[number]), quotas)
            shards += _write(store, name, rows, made)
        assemble_of(store, made, shards)
        move_store(made, out)
    drawn = TokenStore.open(out)
    return Sampled(
        matching=matching,
        documents=int(wanted.sum()),
        countries=len(drawn.countries),
        by_split={name: int(n) for name, n in zip(names, wanted, strict=True)},
        hash=drawn.hash,
    )


def fractions(total: int, sizes: np.ndarray) -> np.ndarray:
    """int64: `total`, or the sum of `sizes` if that is less, divided in proportion to `sizes`.

    Largest remainders; a part that would get nothing gets one of the largest part's, if it has any.
    """
    parts = [int(size) for size in sizes]
    whole = sum(parts)
    total = min(total, whole)
    if not total:
        return np.zeros(len(parts), np.int64)
    # Exact in Python's integers.
    given = np.array([total * size // whole for size in parts], np.int64)
    remainders = np.array([total * size % whole for size in parts])
    given[np.argsort(-remainders, kind="stable")[: total - int(given.sum())]] += 1
    for part in np.flatnonzero((given == 0) & (sizes > 0)):
        largest = int(np.argmax(given))
        if given[largest] > 1:
            given[largest] -= 1
            given[part] = 1
    return given


def even(total: int, sizes: np.ndarray) -> np.ndarray:
    """int64: `total` divided evenly over parts, none of which gives more than its size."""
    sizes = sizes.astype(np.int64)
    given = np.zeros(len(sizes), np.int64)
    left = min(total, int(sizes.sum()))
    while left:
        open_parts = np.flatnonzero(given < sizes)
        each = max(1, left // len(open_parts))
        for part in open_parts:
            take = min(each, int(sizes[part] - given[part]), left)
            given[part] += take
            left -= take
    return given


def draws(content_hash: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [n], uniform and independent of the hash; splitmix64 (Steele, Lea, Flood 2014)."""
    golden = 0x9E3779B97F4A7C15
    z = content_hash ^ np.uint64((seed + 1) * golden & (1 << 64) - 1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(31))


class _Draw:
    """Counts what matches, then draws from it."""

    def __init__(
        self, store: TokenStore, names: Sequence[str], where: Where, seed: int, progress: Progress
    ):
        self._store, self._names, self._seed = store, names, seed
        self._matches = where.matcher(store)
        self._progress = progress
        documents = sum(store.manifest.splits[name].documents for name in names)
        self._done, self._total = 0, 2 * documents

    def counts(self) -> np.ndarray:
        """int64 [splits, countries] of what matches."""
        counts = np.zeros((len(self._names), len(self._store.countries)), np.int64)
        for number, name in enumerate(self._names):
            for shard in self._store.shards(name):
                chosen = shard.country[self._matches(shard)]
                counts[number] += np.bincount(chosen, minlength=counts.shape[1])
                self._tell(shard.num_documents)
        return counts

    def rows(self, number: int, total: int, quotas: np.ndarray | None) -> np.ndarray:
        """Numbers of the documents drawn from a split, rising; int64 [total].

        quotas: how many of each country; None: whatever country.
        """
        quotas = np.array([total]) if quotas is None else quotas
        by_country = len(quotas) > 1
        found = np.empty(0, [("part", "u4"), ("draw", "u8"), ("at", "i8")])
        start = 0
        for shard in self._store.shards(self._names[number]):
            rows = np.flatnonzero(self._matches(shard))
            new = np.empty(len(rows), found.dtype)
            new["part"] = shard.country[rows] if by_country else 0
            new["draw"] = draws(shard.content_hash[rows], self._seed)
            new["at"] = start + rows
            found = np.concatenate([found, new])
            if len(found) > 2 * total + _SPARE:
                found = _least(found, quotas)
            start += shard.num_documents
            self._tell(shard.num_documents)
        return np.sort(_least(found, quotas)["at"])

    def _tell(self, documents: int) -> None:
        self._done += documents
        self._progress("draw", self._done, self._total)


def _least(found: np.ndarray, quotas: np.ndarray) -> np.ndarray:
    """The lowest draws of each part, as many as its quota."""
    found = found[np.lexsort((found["at"], found["draw"], found["part"]))]
    place = np.arange(len(found)) - np.searchsorted(found["part"], found["part"])
    return found[place < quotas[found["part"]]]


def _write(store: TokenStore, split: str, rows: np.ndarray, made: Path) -> list[FinishedShard]:
    shards = store.shards(split)
    ends = np.cumsum([shard.num_documents for shard in shards], dtype=np.int64)
    written = []
    for number, start in enumerate(range(0, len(rows), SHARD_DOCUMENTS)):
        some = rows[start : start + SHARD_DOCUMENTS]
        of_shard = np.searchsorted(ends, some, side="right")
        parts = [
            (store, shards[i], some[of_shard == i] - (ends[i] - shards[i].num_documents))
            for i in np.unique(of_shard)
        ]
        written.append(copy_rows(parts, made, split, shard_place(split, number)))
    return written
