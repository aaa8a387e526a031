"""Stages that find copies in partitions: `dedup_ids`, `dedup_content` and `dedup_near`.

1. dedup_ids: a task for each range of the hash of the id. A copy is whatever has an earlier
   document's id.
2. dedup_content: the same for the hash of the text, without the copies of 1: of two documents with
   one id and different texts, the second text is free for others.
3. dedup_near: a task for each range of the keys of each band (of several bands, while they are
   small), without the copies of 1 and 2.

Memory of a task: 96 bytes an entry, and there are at most about 12 million in a partition: 1.2 GB.
A task reads of each shard the entries of its range. What is found does not depend on the number of
partitions.
"""

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data_prep.dedup.arrays import load, save
from data_prep.dedup.components import forest
from data_prep.dedup.drops import DROPS, Drops
from data_prep.dedup.keys import SortedKeys, copies_of_first, partitions_of
from data_prep.dedup.near import near_edges
from data_prep.dedup.shards import Shard, Shards, all_shards
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key

EXACT_VERSION = NEAR_VERSION = "1"
PARTITION_ENTRIES = 12_000_000
# As many tasks at least, so that there is something to share out in a small run.
NEAR_TASKS = 4
EDGES = "edges.npy"


class DedupIds(Stage):
    """Documents whose id an earlier one has: copies.npy, int64 [m, 2]."""

    name = "dedup_ids"
    entry_bytes: ClassVar[int] = 20

    def tasks(self) -> list[Task]:
        shards = all_shards(self.config)
        return self._partitions(shards, shards.keys)

    def _partitions(self, shards: Shards, keys: tuple[str, ...]) -> list[Task]:
        count = partitions_of(shards.documents, PARTITION_ENTRIES)
        size = shards.documents * self.entry_bytes // count
        return [
            Task(
                f"{number:05d}",
                task_key(EXACT_VERSION, self.name, f"{number}/{count}", *keys),
                size,
                {"partition": number, "partitions": count},
            )
            for number in range(count)
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        shards = all_shards(self.config)
        before = self._before()
        keys, numbers = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)]
        for shard in shards:
            found = self._keys(shard).range(task.payload["partition"], task.payload["partitions"])
            _gather(found, shard, before, keys, numbers)
            progress(int(task.size * shard.stop / max(shards.documents, 1)), 0)
        entries = sum(len(part) for part in numbers)
        copies = copies_of_first(np.concatenate(keys), np.concatenate(numbers))
        copies = copies[copies[:, 0] >= shards.earlier_documents]
        save(folder / DROPS, copies)
        held = int((copies[:, 1] < shards.earlier_documents).sum())
        counts = {"entries": entries, "copies": len(copies) - held, "held": held}
        return counts | {"other_texts": _other_texts(copies, shards)}

    def _keys(self, shard: Shard) -> SortedKeys:
        return shard.ids()

    def _before(self) -> Drops:
        """What the stages before this one dropped."""
        return Drops([])


class DedupContent(DedupIds):
    """Documents whose text an earlier one has."""

    name = "dedup_content"

    def tasks(self) -> list[Task]:
        return self._partitions(all_shards(self.config), task_keys(DedupIds(self.config)))

    def _keys(self, shard: Shard) -> SortedKeys:
        return shard.content()

    def _before(self) -> Drops:
        return Drops(task_folders(DedupIds(self.config)))


class DedupNear(Stage):
    """Pairs of near-duplicates: edges.npy, int64 [e, 2], a forest of the task's components."""

    name = "dedup_near"

    def tasks(self) -> list[Task]:
        near = self.config.dedup.near
        if near.action == "none":
            return []
        shards = all_shards(self.config)
        keys = task_keys(DedupContent(self.config))
        ranges = partitions_of(shards.documents, PARTITION_ENTRIES)
        together = PARTITION_ENTRIES // max(shards.documents, 1)
        together = max(1, min(together, -(-near.bands // NEAR_TASKS)))
        entry_bytes = 12 + 2 * near.rows
        tasks = []
        for first in range(0, near.bands, together):
            bands = list(range(first, min(first + together, near.bands)))
            for number in range(ranges):
                key = task_key(NEAR_VERSION, f"{near.similarity} {bands} {number}/{ranges}", *keys)
                payload = {"bands": bands, "partition": number, "partitions": ranges}
                size = shards.documents * entry_bytes * len(bands) // ranges
                tasks.append(Task(f"{first:03d}-{number:05d}", key, size, payload))
        return tasks

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        near = self.config.dedup.near
        shards = all_shards(self.config)
        before = (DedupIds(self.config), DedupContent(self.config))
        dropped = Drops([folder for stage in before for folder in task_folders(stage)])
        reader = SignatureReader(shards)
        least = math.ceil(near.similarity * near.bands * near.rows - 1e-9)
        found = [np.empty((0, 2), np.int64)]
        for done, band in enumerate(task.payload["bands"], 1):
            keys, numbers = [np.empty((0, 1), np.uint64)], [np.empty(0, np.int64)]
            for shard in shards:
                part = shard.band(band).range(task.payload["partition"], task.payload["partitions"])
                _gather(part, shard, dropped, keys, numbers)
            earlier = shards.earlier_documents
            key = np.concatenate(keys)[:, 0]
            found.append(near_edges(key, np.concatenate(numbers), reader, least, earlier))
            progress(task.size * done // len(task.payload["bands"]), 0)
        edges = forest(np.concatenate(found))
        save(folder / EDGES, edges)
        return {"edges": len(edges)}


class SignatureReader:
    """Signatures of documents by number, read where they lie."""

    def __init__(self, shards: Shards):
        self._shards = shards
        self._files: dict[Path, np.ndarray] = {}

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """uint16 [m, k] of ascending numbers [m]."""
        found = None
        for shard, where, rows in self._shards.split(numbers):
            if shard.folder not in self._files:
                self._files[shard.folder] = load(shard.folder / "signature.npy")
            minima = self._files[shard.folder][rows]
            if found is None:
                found = np.empty((len(numbers), minima.shape[1]), np.uint16)
            found[where] = minima
        return found


def _other_texts(copies: np.ndarray, shards: Shards) -> int:
    """How many of the copies [m, 2] have another text than their first."""
    asked, index = np.unique(copies, return_inverse=True)
    found = np.empty(len(asked), np.uint64)
    for shard, where, rows in shards.split(asked):
        found[where] = load(shard.folder / "hash.npy")[rows]
    first = found[index.reshape(-1, 2)]
    return int((first[:, 0] != first[:, 1]).sum())


def task_keys(stage: Stage) -> tuple[str, ...]:
    return tuple(task.key for task in stage.tasks())


def task_folders(stage: Stage) -> list[Path]:
    return [stage.task_folder(task.id) for task in stage.tasks()]


def _gather(
    found: SortedKeys,
    shard: Shard,
    dropped: Drops,
    keys: list[np.ndarray],
    numbers: list[np.ndarray],
) -> None:
    """Add those of `found` that take part to `keys` and `numbers`."""
    rows = np.asarray(found.rows)
    part = shard.held() if shard.earlier else ~dropped.mask(shard.start, shard.stop)
    kept = slice(None) if part is None else part[rows]
    keys.append(np.asarray(found.keys)[kept])
    numbers.append(rows[kept].astype(np.int64) + shard.start)
