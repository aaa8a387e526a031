"""One store of several with the same tokenizer; see `duplicates` for what is left out.

Shards of which every document stays are taken as they are, by hard links where the file system has
them; only their maps of hosts and values are new. The others are copied without what is left out.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.store_tools.duplicates import KEPT, REASONS, Outcomes, find_outcomes
from data_prep.store_tools.output import check_free, move_store, workplace
from data_prep.store_tools.rewrite import copy_rows, take_whole
from data_prep.tokenise.assemble import FinishedShard, assemble
from data_prep.tokenise.store_writer import shard_place
from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import SPLITS, FieldKind, SourceEntry


@dataclass(frozen=True)
class SplitMerge:
    """Documents of one store's split: those that stay, and those left out by reason."""

    store: str
    split: str
    kept: int
    dropped: dict[str, int]


@dataclass(frozen=True)
class Merged:
    """splits: a line a store and split. shards_taken, shards_copied: whole, and in part."""

    splits: tuple[SplitMerge, ...]
    shards_taken: int
    shards_copied: int
    hash: str


def merge_stores(roots: Sequence[Path], out: Path, progress: Progress = no_progress) -> Merged:
    """Make the store `out` of the stores in `roots`, whole or not at all.

    Raises UserError where `out` exists, another process makes it, tokenizers differ, or stores
    give a country different continents or a field different types.
    """
    check_free(out)
    if len(roots) < 2:
        raise UserError("give two stores or more to merge")
    stores = [TokenStore.open(root) for root in roots]
    _check_tokenizers(stores)
    continents, kinds = _continents(stores), _kinds(stores)
    tokenizer = stores[0].tokenizer()
    with workplace(out) as folder:
        scratch, made = folder / "compare", folder / "store"
        scratch.mkdir()
        made.mkdir()
        outcomes = find_outcomes(stores, scratch, progress)
        merger = _Merger(stores, outcomes, made, progress)
        shards = merger.shards()
        del outcomes
        shutil.rmtree(scratch)
        assemble(
            made,
            shards,
            tokenizer,
            stores[0].root / stores[0].manifest.tokenizer.file,
            continents,
            _quarantine(stores, merger.lines),
            _sources(stores),
            kinds,
        )
        move_store(made, out)
    return Merged(tuple(merger.lines), merger.taken, merger.copied, TokenStore.open(out).hash)


class _Merger:
    def __init__(
        self, stores: Sequence[TokenStore], outcomes: Outcomes, root: Path, progress: Progress
    ):
        self.lines: list[SplitMerge] = []
        self.taken = self.copied = 0
        self._stores, self._outcomes = stores, outcomes
        self._root, self._progress = root, progress
        self._done = 0

    def shards(self) -> list[FinishedShard]:
        made = []
        for split in SPLITS:
            number = 0
            for index, store in enumerate(self._stores):
                counts: Counter[int] = Counter()
                start = 0
                for shard in store.shards(split) if split in store.splits else ():
                    outcome = self._outcomes.of(index, split, start, shard.num_documents)
                    values, times = np.unique(outcome, return_counts=True)
                    counts.update(dict(zip(values.tolist(), times.tolist(), strict=True)))
                    rows = np.flatnonzero(outcome == KEPT)
                    place = shard_place(split, number)
                    if len(rows) == shard.num_documents > 0:
                        made.append(take_whole(store, shard, self._root, split, place))
                        self.taken += 1
                    elif len(rows):
                        made.append(copy_rows([(store, shard, rows)], self._root, split, place))
                        self.copied += 1
                    number += bool(len(rows))
                    start += shard.num_documents
                    self._done += shard.num_documents
                    self._progress("merge", self._done, self._outcomes.total, split)
                dropped = {name: counts[code] for code, name in REASONS.items() if counts[code]}
                self.lines.append(SplitMerge(str(store.root), split, counts[KEPT], dropped))
        return made


def _check_tokenizers(stores: Sequence[TokenStore]) -> None:
    first = stores[0].manifest.tokenizer
    for store in stores[1:]:
        other = store.manifest.tokenizer
        same = first.model_copy(update={"file": other.file}) == other
        if not same:
            raise UserError(
                f"{store.root} was made with another tokenizer ({other.kind}, sha256 "
                f"{other.sha256[:8]}...) than {stores[0].root} ({first.kind}, "
                f"{first.sha256[:8]}...): prepare one of them again with tokenizer.path set"
            )


def _continents(stores: Sequence[TokenStore]) -> dict[str, str]:
    found: dict[str, str] = {}
    for store in stores:
        for country, continent in store.continent_of.items():
            if found.setdefault(country, continent) != continent:
                raise UserError(
                    f"{store.root} has {country} in {continent}, a store before it in "
                    f"{found[country]}: prepare one of them again"
                )
    return found


def _kinds(stores: Sequence[TokenStore]) -> dict[str, FieldKind]:
    """Kind of each field; free text where it is that in one of the stores."""
    found: dict[str, FieldKind] = {}
    for store in stores:
        for name, field in store.manifest.fields.items():
            before = found.setdefault(name, field.kind)
            if before != field.kind and "text" not in (before, field.kind):
                raise UserError(
                    f"{store.root} has the field {name} as a {field.kind}, a store before it as a "
                    f"{before}: prepare one of them again with the other's type of "
                    f"fields.extra.{name}"
                )
            if field.kind == "text":
                found[name] = "text"
    return found


def _quarantine(stores: Sequence[TokenStore], lines: Sequence[SplitMerge]) -> dict[str, int]:
    """Records set aside by the stores, and by merging them."""
    total: Counter[str] = Counter()
    for store in stores:
        total.update(store.manifest.quarantine)
    for line in lines:
        total.update(line.dropped)
    return dict(total)


def _sources(stores: Sequence[TokenStore]) -> list[SourceEntry]:
    entries = [source for store in stores for source in store.manifest.sources]
    return list(dict.fromkeys(entries))
