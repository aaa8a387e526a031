"""A store without some documents: by list, by host, by any column, with their near-copies or not.

Shards without such a document are taken as they are, by hard links where the file system has them;
the others are copied without it, in their order. What was removed is listed, for takedowns.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.store_tools.columns import documents
from data_prep.store_tools.listed import Listed
from data_prep.store_tools.output import check_free, move_store, workplace
from data_prep.store_tools.rewrite import assemble_of, copy_rows, take_whole
from data_prep.store_tools.where import EVERYTHING, Matcher, Where
from data_prep.tokenise.assemble import FinishedShard
from data_prep.tokenise.store_writer import shard_place
from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.store import TokenStore
from geo_nemo.store.shard import Shard

REASON = "removed"


@dataclass(frozen=True)
class Gone:
    """A document that was removed. number: in its split. hash: of its content, 16 hex digits."""

    split: str
    number: int
    hash: str
    url: str
    country: str
    tokens: int


@dataclass(frozen=True)
class Removed:
    """documents: those removed, in their order. kept: by split. copies: near-copies of removed
    documents that stay in the new store. hash: of the new store; empty where none was made."""

    documents: tuple[Gone, ...]
    kept: dict[str, int]
    copies: int
    shards_taken: int
    shards_copied: int
    hash: str


@dataclass(frozen=True)
class Removal:
    """What would go from a store, found once; `write` makes the store without it.

    removed: what would go and what would stay, of no new store yet.
    """

    store: TokenStore
    removed: Removed
    goes: Matcher

    def write(self, out: Path, progress: Progress = no_progress) -> Removed:
        """Make the store `out`, whole or not at all. Raises UserError where it exists."""
        check_free(out)
        _write(self.store, self.goes, out, len(self.removed.documents), progress)
        return replace(self.removed, hash=TokenStore.open(out).hash)


def find_removal(
    root: Path,
    listed: Listed | None = None,
    where: Where = EVERYTHING,
    with_copies: bool = False,
    progress: Progress = no_progress,
) -> Removal:
    """The documents of `root` that are listed and hold `where`.

    with_copies: whatever is in one cluster of near-duplicates with such a document goes, too. In
    memory: 8 bytes a document that goes, and its line. Raises UserError where nothing is named,
    nothing matches, or all would go.
    """
    if listed is None and not where.conditions:
        raise UserError("say which documents go: give --list or --where")
    store = TokenStore.open(root)
    named = _matcher(store, listed, where)
    clusters = _clusters(store, named, progress)
    if not len(clusters):
        raise UserError(f"{root} has none of these documents: nothing was removed")
    goes = (lambda shard: named(shard) | np.isin(shard.cluster, clusters)) if with_copies else named
    gone: list[Gone] = []
    kept = dict.fromkeys(store.splits, 0)
    copies = taken = copied = 0
    for split, start, shard in _shards(store):
        chosen = goes(shard)
        gone += _described(store, split, start, shard, np.flatnonzero(chosen))
        copies += int(np.isin(shard.cluster[~chosen], clusters).sum())
        stay = int(np.sum(~chosen))
        kept[split] += stay
        taken += stay == shard.num_documents > 0
        copied += 0 < stay < shard.num_documents
    if not sum(kept.values()):
        raise UserError(f"these are all documents of {root}: nothing was removed")
    return Removal(store, Removed(tuple(gone), kept, copies, taken, copied, ""), goes)


def _shards(store: TokenStore) -> Iterator[tuple[str, int, Shard]]:
    """Split, number of the first document in it, shard: of every shard."""
    for split in store.splits:
        start = 0
        for shard in store.shards(split):
            yield split, start, shard
            start += shard.num_documents


def _matcher(store: TokenStore, listed: Listed | None, where: Where) -> Matcher:
    holds = where.matcher(store)
    if listed is None:
        return holds
    named = listed.matcher(store)
    return lambda shard: named(shard) & holds(shard)


def _clusters(store: TokenStore, named: Matcher, progress: Progress) -> np.ndarray:
    """Clusters of near-duplicates of the documents that are named, uint64, sorted."""
    found, done, total = [np.empty(0, np.uint64)], 0, _total(store)
    for _, _, shard in _shards(store):
        found.append(np.unique(shard.cluster[named(shard)]))
        done += shard.num_documents
        progress("search", done, total)
    return np.unique(np.concatenate(found))


def _total(store: TokenStore) -> int:
    return sum(split.documents for split in store.manifest.splits.values())


def _described(
    store: TokenStore, split: str, start: int, shard: Shard, rows: np.ndarray
) -> list[Gone]:
    return [
        Gone(
            split=split,
            number=start + row,
            hash=f"{int(shard.content_hash[row]):016x}",
            url=f"{record.scheme}://{record.host}{record.path}",
            country=record.country or "",
            tokens=len(title) + len(body),
        )
        for row, (record, title, body) in zip(
            rows.tolist(), documents(store, shard, rows), strict=True
        )
    ]


def _write(store: TokenStore, goes: Matcher, out: Path, gone: int, progress: Progress) -> None:
    done, total = 0, _total(store)
    shards: list[FinishedShard] = []
    numbers = dict.fromkeys(store.splits, 0)
    with workplace(out) as folder:
        made = folder / "store"
        made.mkdir()
        for split, _, shard in _shards(store):
            rows = np.flatnonzero(~goes(shard))
            if len(rows):
                place = shard_place(split, numbers[split])
                shards.append(_placed(store, shard, rows, made, split, place))
                numbers[split] += 1
            done += shard.num_documents
            progress("write", done, total, split)
        quarantine = dict(store.manifest.quarantine)
        quarantine[REASON] = quarantine.get(REASON, 0) + gone
        assemble_of(store, made, shards, quarantine)
        move_store(made, out)


def _placed(
    store: TokenStore, shard: Shard, rows: np.ndarray, made: Path, split: str, place: str
) -> FinishedShard:
    if len(rows) == shard.num_documents:
        return take_whole(store, shard, made, split, place)
    return copy_rows([(store, shard, rows)], made, split, place)
