"""Which documents of several stores a merged store leaves out.

1. Of the same text (64-bit content hash), one copy stays: in the split that holds out most, test
   before validation before train, and there the first in the order of the stores.
2. A document whose near-duplicate cluster has a document held out in another store does not stay in
   a split that holds out less; nor one whose cluster has, in its own store, a document that leaves
   its split for its text. Near-duplicates in the same split all stay.

So no text that is held out in one store is trained on in the merged one. Keys are spread over files
by their first bits, and one file after the other is sorted: memory is bounded, disk takes 32 bytes
a document. Two texts of 10^9 share a hash by chance with a probability of 3%; one of them is lost.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.store import TokenStore
from geo_nemo.store.shard import Shard

# From the split that holds out most; a document's position rises in this order.
ORDER = ("test", "validation", "train")
KEPT, DUPLICATE, HELD_OUT = 0, 1, 2
REASONS = {DUPLICATE: "duplicate_content", HELD_OUT: "held_out_elsewhere"}
PARTITION_DOCUMENTS = 1 << 21
MOST_PARTITIONS = 256
RECORD = np.dtype([("key", "<u8"), ("at", "<u8")])


class Outcomes:
    """What becomes of every document: KEPT, DUPLICATE or HELD_OUT, a byte each on disk."""

    def __init__(self, stores: Sequence[TokenStore], folder: Path, progress: Progress):
        self._starts: dict[tuple[int, str], int] = {}
        self._ranks: list[int] = [0]
        self._ends: list[int] = []
        total = 0
        for split in ORDER:
            for number, store in enumerate(stores):
                self._starts[number, split] = total
                entry = store.manifest.splits.get(split)
                total += entry.documents if entry is not None else 0
                self._ends.append(total)
            self._ranks.append(total)
        if not total:
            raise UserError("no store has any document: there is nothing to merge")
        self.total = total
        self._num_stores = len(stores)
        with (folder / "outcome").open("wb") as file:
            # A map of what the disk has no place for would end the process when it is written.
            os.posix_fallocate(file.fileno(), 0, total)
        self._outcome = np.memmap(folder / "outcome", np.uint8, "r+")
        self._folder, self._progress = folder, progress
        self._find(stores)

    def of(self, store: int, split: str, start: int, documents: int) -> np.ndarray:
        """uint8 [documents], from document `start` of a store's split on."""
        first = self._starts[store, split] + start
        return np.minimum(self._outcome[first : first + documents], HELD_OUT)

    def _find(self, stores: Sequence[TokenStore]) -> None:
        for number, (name, column, settle) in enumerate((
            ("hash", lambda shard: shard.content_hash, self._settle_equal),
            ("cluster", lambda shard: shard.cluster, self._settle_clusters),
        )):  # fmt: skip
            paths = self._spread(stores, name, column, 2 * number)
            for done, path in enumerate(paths, start=1):
                records = np.fromfile(path, RECORD)
                path.unlink()
                records = records[np.argsort(records["key"], kind="stable")]
                if len(records):
                    settle(records["key"], records["at"].astype(np.int64))
                fraction = (2 * number + 1) * self.total + self.total * done // len(paths)
                self._progress("compare", fraction, 4 * self.total, name)

    def _spread(
        self, stores: Sequence[TokenStore], name: str, column: Callable[[Shard], np.ndarray],
        step: int,
    ) -> list[Path]:  # fmt: skip
        """Files of (key, position), each with the keys of a range, positions rising."""
        bits = 0
        while self.total > PARTITION_DOCUMENTS << bits and 1 << bits < MOST_PARTITIONS:
            bits += 1
        paths = [self._folder / f"{name}-{i:03d}" for i in range(1 << bits)]
        files = [path.open("wb") for path in paths]
        try:
            at = 0
            for split in ORDER:
                for store in stores:
                    if split not in store.splits:
                        continue
                    for shard in store.shards(split):
                        records = np.empty(shard.num_documents, RECORD)
                        records["key"] = column(shard)
                        records["at"] = np.arange(at, at + shard.num_documents)
                        part = _first_bits(records["key"], bits)
                        order = np.argsort(part, kind="stable")
                        cuts = np.searchsorted(part[order], np.arange(1, 1 << bits))
                        for file, some in zip(files, np.split(records[order], cuts), strict=True):
                            file.write(some.tobytes())
                        at += shard.num_documents
                        self._progress("compare", step * self.total + at, 4 * self.total, name)
        finally:
            for file in files:
                file.close()
        return paths

    def _settle_equal(self, key: np.ndarray, at: np.ndarray) -> None:
        first = np.concatenate([[True], key[1:] != key[:-1]])
        winner = at[np.flatnonzero(first)][np.cumsum(first) - 1]
        by = self._rank(winner)
        same_split = self._rank(at) == by
        self._outcome[at[~first & same_split]] = DUPLICATE
        # With the split that holds it out, for the clusters.
        elsewhere = ~first & ~same_split
        self._outcome[at[elsewhere]] = HELD_OUT + by[elsewhere]

    def _settle_clusters(self, key: np.ndarray, at: np.ndarray) -> None:
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        sizes = np.diff(np.concatenate([starts, [len(key)]]))
        rank, store = self._rank(at), self._store(at)
        nowhere = self._num_stores
        # Of a document that left its split for its text: the split that holds that out.
        by = self._outcome[at].astype(np.int64) - HELD_OUT
        here = np.repeat(np.arange(len(starts)), sizes) * nowhere + store  # cluster and store
        for mine in (1, 2):
            holding = rank < mine
            least = np.minimum.reduceat(np.where(holding, store, nowhere), starts)
            most = np.maximum.reduceat(np.where(holding, store, -1), starts)
            held = np.repeat(most, sizes) >= 0
            # One store alone may split a cluster as it was told to.
            elsewhere = (np.repeat(least, sizes) != store) | (np.repeat(most, sizes) != store)
            text = np.isin(here, here[(by >= 0) & (by < mine)])
            out = at[(rank == mine) & ((held & elsewhere) | text)]
            self._outcome[out[self._outcome[out] == KEPT]] = HELD_OUT

    def _rank(self, at: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._ranks, at, side="right") - 1

    def _store(self, at: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._ends, at, side="right") % self._num_stores


def _first_bits(keys: np.ndarray, bits: int) -> np.ndarray:
    # A shift by 64 is undefined.
    return keys >> np.uint64(64 - bits) if bits else np.zeros(len(keys), np.uint64)


def find_outcomes(
    stores: Sequence[TokenStore], folder: Path, progress: Progress = no_progress
) -> Outcomes:
    """Compare all documents of the stores, with files in `folder` meanwhile."""
    return Outcomes(stores, folder, progress)
