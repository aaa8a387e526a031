"""Near-duplicates among the documents that share a band key: candidates, then an estimate.

Of up to 48 documents with one key, every pair is compared. Of more, the first is a pivot, and so is
each that no pivot is near to, up to 64; each is compared with the pivots before it and those of its
block of 32,768. So a million documents with one key cost 64 million comparisons at most, not 500
billion. What is found depends on the documents with that key and their order alone, not on
partitions or tasks.

Memory: 96 bytes a document of the partition and 100 MB; signatures are read as they are needed.
"""

from collections.abc import Callable, Iterator

import numpy as np

from data_prep.dedup.components import forest
from data_prep.dedup.keys import runs_of_equal

ALL_PAIRS, PIVOTS = 48, 64
BLOCK = 1 << 15
_EDGES_HELD = 1 << 22

# Signatures, uint16 [n, k], of documents with these numbers, int64 [n], ascending.
Reader = Callable[[np.ndarray], np.ndarray]


def near_edges(
    keys: np.ndarray, numbers: np.ndarray, read: Reader, least: int, earlier: int
) -> np.ndarray:
    """int64 [e, 2]: edges between near-duplicates, as a forest of their components.

    keys: uint64 [n], of one band. numbers: int64 [n]; those below `earlier` are of earlier runs,
    and are not compared with each other. least: equal minima from which two are near-duplicates.
    """
    order = np.lexsort((numbers, keys))
    numbers = numbers[order]
    starts = runs_of_equal(keys[order][:, None])
    sizes = np.diff(starts)
    # Members ascend: the last of a run tells whether any is of this run.
    wanted = (sizes > 1) & (numbers[starts[1:] - 1] >= earlier) if len(sizes) else sizes > 1
    starts, sizes = starts[:-1][wanted], sizes[wanted]
    held, count = [np.empty((0, 2), np.int64)], 0
    for found in _found(starts, sizes, numbers, read, least, earlier):
        held.append(found)
        count += len(found)
        if count > _EDGES_HELD:
            held = [forest(np.concatenate(held))]
            count = 0
    return forest(np.concatenate(held))


def _found(starts, sizes, numbers, read, least, earlier) -> Iterator[np.ndarray]:
    for size in np.unique(sizes[sizes <= ALL_PAIRS]):
        left, right = np.triu_indices(size, 1)
        runs = starts[sizes == size]
        step = max(1, BLOCK // len(left))
        for i in range(0, len(runs), step):
            members = numbers[runs[i : i + step, None] + np.arange(size)]
            pairs = np.stack([members[:, left], members[:, right]], axis=-1).reshape(-1, 2)
            yield _verified(pairs[pairs[:, 1] >= earlier], read, least)
    for start, size in zip(starts, sizes, strict=True):
        if size > ALL_PAIRS:
            yield from _pivoted(numbers[start : start + size], read, least)


def _verified(pairs: np.ndarray, read: Reader, least: int) -> np.ndarray:
    """Those of `pairs` [p, 2] with at least `least` equal minima."""
    documents, index = np.unique(pairs, return_inverse=True)
    if not len(documents):
        return pairs
    index = index.reshape(-1, 2)
    minima = read(documents)
    return pairs[_equal(minima[index[:, 0]], minima[index[:, 1]]) >= least]


def _pivoted(members: np.ndarray, read: Reader, least: int) -> Iterator[np.ndarray]:
    pivots: list[int] = []
    pivot_minima: list[np.ndarray] = []
    for i in range(0, len(members), BLOCK):
        block = members[i : i + BLOCK]
        minima = read(block)
        alone = np.ones(len(block), bool)
        known = 0
        while known < len(pivots) or len(pivots) < PIVOTS:
            if known == len(pivots):
                if not alone.any():
                    break
                new = int(np.argmax(alone))
                pivots.append(int(block[new]))
                pivot_minima.append(minima[new].copy())
            near = _equal(minima, pivot_minima[known]) >= least
            alone &= ~near
            others = block[near]
            others = others[others != pivots[known]]
            pivot = np.full(len(others), pivots[known])
            yield np.stack([np.minimum(others, pivot), np.maximum(others, pivot)], axis=1)
            known += 1


def _equal(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int64 [n]: equal minima in each row."""
    return np.count_nonzero(left == right, axis=1)
