"""Shards: fingerprints of one part, of this run or an earlier one, and what of them takes part.

Documents are numbered over all shards, those of earlier runs first: below `earlier_documents` lie
theirs, and the part's `start` is counted on from there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.config import Prep
from data_prep.dedup.arrays import load
from data_prep.dedup.earlier import earlier_runs
from data_prep.dedup.fingerprint import Fingerprint
from data_prep.dedup.keys import SortedKeys
from data_prep.ingest import all_parts

# Of data_prep.dedup.clusters, with the place of each fixed: an earlier run's files hold them.
OUTCOMES = (
    "kept",
    "duplicate_id",
    "duplicate_content",
    "near_duplicate",
    "held_by_earlier_run",
)
_HELD_THERE = np.array([True, False, True, True, False])
DECISION = np.dtype([("outcome", "u1"), ("cluster", "<u8"), ("leader", "<i8")])


@dataclass(frozen=True)
class Shard:
    """folder: files of stage fingerprint. decisions: of an earlier run's part."""

    folder: Path
    start: int
    documents: int
    earlier: bool = False
    decisions: Path | None = None

    @property
    def stop(self) -> int:
        return self.start + self.documents

    def ids(self) -> SortedKeys:
        return SortedKeys(load(self.folder / "ids.npy"), load(self.folder / "id_rows.npy"))

    def content(self) -> SortedKeys:
        return SortedKeys(load(self.folder / "content.npy"), load(self.folder / "content_rows.npy"))

    def band(self, band: int) -> SortedKeys:
        """The keys [n, 1] of one band."""
        keys = load(self.folder / "bands.npy")[band]
        return SortedKeys(keys[:, None], load(self.folder / "band_rows.npy")[band])

    def clusters(self) -> np.ndarray:
        """uint64 [n]: of an earlier run's shard, the cluster of each document."""
        if self.decisions is not None:
            return load(self.decisions)["cluster"]
        return load(self.folder / "clusters.npy")

    def held(self) -> np.ndarray | None:
        """bool [n]: what an earlier run holds; None for all."""
        if self.decisions is None:
            return None
        return _HELD_THERE[load(self.decisions)["outcome"]]


@dataclass(frozen=True)
class Shards:
    """All shards in the order of their numbers; keys of what they depend on."""

    shards: tuple[Shard, ...]
    keys: tuple[str, ...]
    earlier_documents: int
    documents: int

    def __iter__(self) -> Iterator[Shard]:
        return iter(self.shards)

    def own(self) -> list[Shard]:
        return [shard for shard in self.shards if not shard.earlier]

    def split(self, numbers: np.ndarray) -> Iterator[tuple[Shard, slice, np.ndarray]]:
        """Ascending numbers [m] by shard: (shard, where in `numbers`, rows in the shard)."""
        starts = np.array([shard.start for shard in self.shards] + [self.documents])
        cuts = np.searchsorted(numbers, starts)
        for shard, first, last in zip(self.shards, cuts[:-1], cuts[1:], strict=True):
            if last > first:
                yield shard, slice(first, last), numbers[first:last] - shard.start


def all_shards(config: Prep) -> Shards:
    """Shards of the earlier runs and of this one. It reads no documents."""
    fingerprint = Fingerprint(config)
    tasks = {task.id: task for task in fingerprint.tasks()}
    found: list[Shard] = []
    keys: list[str] = []
    start = 0
    for run in earlier_runs(config):
        for part in run.parts:
            found.append(Shard(part.folder, start, part.documents, True, part.decisions))
            keys.append(part.key)
            start += part.documents
        for file in run.files:
            found.append(Shard(fingerprint.task_folder(file.id), start, file.documents, True))
            keys.append(tasks[file.id].key)
            start += file.documents
    earlier = start
    for part in all_parts(config):
        found.append(Shard(fingerprint.task_folder(part.id), start, part.documents))
        keys.append(tasks[part.id].key)
        start += part.documents
    return Shards(tuple(found), tuple(keys), earlier, start)
