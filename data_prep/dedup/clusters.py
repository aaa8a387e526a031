"""Stage `dedup`, the one global step: what became of every document, and the cluster it is in.

1. Edges of near-duplicates join documents into components; so do, by their cluster there, the
   documents of earlier runs that are in an edge.
2. A copy joins the component of the document that it is a copy of.
3. Each part gets a file of its own with the decisions on its documents.

A cluster is a connected component, and is led by its first document in global order. So a chain,
a near b near c, is one cluster, though a and c may differ more.

In memory: 8 bytes a document of this run (12 beyond 2^32 of them), 40 bytes a document of earlier
runs that is in an edge or has a copy here, one part's decisions, and 100 MB for a chunk of edges.
Ten million random edges over ten million documents took 11 CPU seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from data_prep.config import Prep
from data_prep.dedup.arrays import load, save
from data_prep.dedup.components import new_parents, roots, union
from data_prep.dedup.dedup_steps import (
    EDGES,
    DedupContent,
    DedupIds,
    DedupNear,
    task_folders,
    task_keys,
)
from data_prep.dedup.drops import Drops
from data_prep.dedup.layout import DEDUP, WHOLE, decisions_path, near_settings
from data_prep.dedup.shards import DECISION, OUTCOMES, Shards, all_shards
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import PartRef, all_parts
from geo_nemo.common.errors import UserError

DEDUP_VERSION = "1"
KEPT, DUPLICATE_ID, DUPLICATE_CONTENT, NEAR_DUPLICATE, HELD = range(len(OUTCOMES))
LARGEST_CLUSTERS = 20
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Decisions:
    """On the documents of a part.

    outcome: uint8 [n], indices into OUTCOMES.
    cluster: uint64 [n], the first 64 bits (big endian) of the content hash of the cluster's first
        document, which may be one of an earlier run.
    leader: int64 [n], number of the cluster's first document in this run; -1 where an earlier run
        holds the cluster and the document is dropped.
    """

    outcome: np.ndarray
    cluster: np.ndarray
    leader: np.ndarray


class Dedup(Stage):
    """Joins what the stages before it found."""

    name = DEDUP

    def tasks(self) -> list[Task]:
        config = self.config
        keys = (*task_keys(DedupContent(config)), *task_keys(DedupNear(config)))
        documents = sum(part.documents for part in all_parts(config))
        key = task_key(DEDUP_VERSION, config.dedup.near.action, *keys)
        return [Task(WHOLE, key, documents * DECISION.itemsize, {})]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        config = self.config
        shards = all_shards(config)
        by_id = Drops(task_folders(DedupIds(config)))
        by_content = Drops(task_folders(DedupContent(config)))
        edges = [folder / EDGES for folder in task_folders(DedupNear(config))]
        joined = Joined(shards, edges, (by_id, by_content))
        drop_near = config.dedup.near.action == "drop"
        outcomes = np.zeros(len(OUTCOMES), np.int64)
        digests = {}
        parts = all_parts(config)
        kept_leader = joined.kept_leaders(drop_near)
        done = 0
        for part, shard in zip(parts, shards.own(), strict=True):
            table = joined.decide(shard.start, shard.stop, drop_near, kept_leader)
            save(decisions_path(folder, part.id), table)
            digests[part.id] = xxhash.xxh3_128_hexdigest(table.tobytes())
            outcomes += np.bincount(table["outcome"], minlength=len(OUTCOMES))
            done += len(table)
            progress(done * DECISION.itemsize, done)
        return {
            "documents": done,
            "outcomes": {name: int(n) for name, n in zip(OUTCOMES, outcomes, strict=True)},
            **joined.sizes(),
            "other_texts": sum(
                receipt.counts.get("other_texts", 0) for receipt in DedupIds(config).receipts()
            ),
            "fingerprints": near_settings(config.dedup.near),
            "decisions": digests,
            "of": task_key(*(part.key for part in parts)),
        }


class Joined:
    """The components of all documents of this run, and of those of earlier runs that they touch.

    Nodes: first the clusters of earlier runs, in the order of the first of their documents that is
    touched, then the documents of this run.
    """

    def __init__(self, shards: Shards, edges: list[Path], drops: tuple[Drops, ...]):
        self._shards = shards
        self._earlier = shards.earlier_documents
        self._drops = drops
        touched = [np.empty(0, np.int64)]
        for path in edges:
            for chunk in _chunks(load(path)):
                touched.append(np.unique(chunk[chunk < self._earlier]))
        for pairs in self._dropped():
            touched.append(np.unique(pairs[pairs < self._earlier]))
        self._touched = np.unique(np.concatenate(touched))
        clusters = np.empty(len(self._touched), np.uint64)
        for shard, where, rows in shards.split(self._touched):
            clusters[where] = shard.clusters()[rows]
        # unique() gives the first place of each value, and touched documents ascend.
        _, first, index = np.unique(clusters, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self._node_of_touched = rank[index.reshape(-1)]
        self._earlier_cluster = clusters[first[order]]
        self._clusters = len(order)
        self._parent = new_parents(self._clusters + shards.documents - self._earlier)
        for path in edges:
            for chunk in _chunks(load(path)):
                union(self._parent, self._nodes(chunk[:, 0]), self._nodes(chunk[:, 1]))
        for pairs in self._dropped():
            # A copy had no edge. Its root is that of its first, which was drawn no later.
            self._parent[self._nodes(pairs[:, 0])] = self._nodes(pairs[:, 1])
        for start in range(0, len(self._parent), _CHUNK):
            roots(self._parent, np.arange(start, min(start + _CHUNK, len(self._parent))))

    def _dropped(self) -> Iterator[np.ndarray]:
        """Copies, int64 [m, 2], of each shard of this run and each list."""
        for shard in self._shards.own():
            for drops in self._drops:
                yield drops.between(shard.start, shard.stop)

    def _nodes(self, numbers: np.ndarray) -> np.ndarray:
        """Nodes of documents by number."""
        nodes = numbers - self._earlier + self._clusters
        early = numbers < self._earlier
        place = np.searchsorted(self._touched, numbers[early])
        nodes[early] = self._node_of_touched[place]
        return nodes

    def _reasons(self, start: int, stop: int) -> np.ndarray:
        """uint8 [n]: outcomes of the exact copies among documents, KEPT for all others."""
        outcome = np.zeros(stop - start, np.uint8)
        for drops, reason in zip(self._drops, (DUPLICATE_ID, DUPLICATE_CONTENT), strict=True):
            pairs = drops.between(start, stop)
            held = pairs[:, 1] < self._earlier
            outcome[pairs[:, 0] - start] = np.where(held, HELD, reason)
        return outcome

    def kept_leaders(self, drop_near: bool) -> np.ndarray:
        """int64 [c]: of each cluster of earlier runs, its first kept document here; -1 for none."""
        leaders = np.full(self._clusters, -1, np.int64)
        if drop_near or not self._clusters:
            return leaders
        for shard in self._shards.own():
            nodes = self._own_nodes(shard.start, shard.stop)
            root = self._parent[nodes]
            kept = (self._reasons(shard.start, shard.stop) == KEPT) & (root < self._clusters)
            found, first = np.unique(root[kept], return_index=True)
            new = leaders[found] < 0
            leaders[found[new]] = nodes[kept][first[new]] - self._clusters
        return leaders

    def decide(
        self, start: int, stop: int, drop_near: bool, kept_leaders: np.ndarray
    ) -> np.ndarray:
        """DECISION [n] of documents by number; leaders are numbers of this run."""
        nodes = self._own_nodes(start, stop)
        root = self._parent[nodes].astype(np.int64)
        table = np.zeros(stop - start, DECISION)
        outcome = self._reasons(start, stop)
        early = root < self._clusters
        if drop_near:
            near = (outcome == KEPT) & (root != nodes)
            outcome[near] = np.where(early[near], HELD, NEAR_DUPLICATE)
        table["outcome"] = outcome
        leader = root - self._clusters
        leader[early] = np.where(outcome[early] == KEPT, kept_leaders[root[early]], -1)
        table["leader"] = leader
        table["cluster"][early] = self._earlier_cluster[root[early]]
        table["cluster"][~early] = self._hashes(root[~early] - self._clusters + self._earlier)
        return table

    def _hashes(self, numbers: np.ndarray) -> np.ndarray:
        """uint64 [m]: first 64 bits of the content hashes of documents by number."""
        asked, index = np.unique(numbers, return_inverse=True)
        found = np.empty(len(asked), np.uint64)
        for shard, where, rows in self._shards.split(asked):
            found[where] = load(shard.folder / "hash.npy")[rows]
        return found[index.reshape(-1)]

    def _own_nodes(self, start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop) - self._earlier + self._clusters

    def sizes(self) -> dict[str, Any]:
        """How many clusters have several documents here, and how many the largest have."""
        sizes = np.zeros(len(self._parent), np.uint32)
        for start in range(self._clusters, len(self._parent), _CHUNK):
            np.add.at(sizes, self._parent[start : start + _CHUNK], 1)
        sizes = sizes[sizes > 1]
        largest = np.sort(sizes)[::-1][:LARGEST_CLUSTERS]
        return {
            "clusters": len(sizes),
            "documents_in_clusters": int(sizes.sum(dtype=np.int64)),
            "largest_clusters": [int(size) for size in largest],
        }


def decisions(config: Prep, part: PartRef) -> Decisions:
    """What the finished stage decided on a part. UserError where its file is missing."""
    table = load(decisions_path(Dedup(config).task_folder(WHOLE), part.id))
    if len(table) != part.documents:
        raise UserError(
            f"{config.output}: deduplication knows {len(table)} documents of part {part.id}, which "
            f"has {part.documents}: run geo-nemo prep run again"
        )
    return Decisions(*(np.ascontiguousarray(table[name]) for name in DECISION.names))


def decision_keys(config: Prep) -> list[str]:
    """Of each part in order, a hash of the decisions on it; they change only with those."""
    (receipt,) = Dedup(config).receipts()
    return [receipt.counts["decisions"][part.id] for part in all_parts(config)]


def _chunks(edges: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(edges), _CHUNK):
        yield np.asarray(edges[start : start + _CHUNK])
