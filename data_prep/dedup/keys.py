"""Keys in order, each with the row it belongs to, so that a partition reads only its range.

A partition holds the keys of one range of their first 64 bits. Keys are hashes, so that ranges of
equal width hold about as many, and equal keys are in the same one.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SortedKeys:
    """keys: uint64 [n, w], ascending by all w words; rows: uint32 [n], ascending in equal keys."""

    keys: np.ndarray
    rows: np.ndarray

    def range(self, partition: int, partitions: int) -> "SortedKeys":
        """Those of one of `partitions` ranges."""
        first, last = _bound(partition, partitions), _bound(partition + 1, partitions)
        leading = self.keys[:, 0]
        start = 0 if partition == 0 else np.searchsorted(leading, first)
        stop = len(leading) if partition + 1 == partitions else np.searchsorted(leading, last)
        return SortedKeys(self.keys[start:stop], self.rows[start:stop])


def _bound(partition: int, partitions: int) -> np.uint64:
    return np.uint64(min((partition << 64) // partitions, 2**64 - 1))


def sort_keys(keys: np.ndarray, rows: np.ndarray | None = None) -> SortedKeys:
    """Of uint64 [n, w] keys; `rows` are their rows, ascending, where not 0 to n - 1."""
    order = np.lexsort(keys.T[::-1])
    return SortedKeys(keys[order], (order if rows is None else rows[order]).astype(np.uint32))


def partitions_of(entries: int, limit: int) -> int:
    """Partitions of so many entries, so that each has about `limit` at most."""
    return max(1, -(-entries // limit))


def runs_of_equal(keys: np.ndarray) -> np.ndarray:
    """int64 [r + 1]: where each run of equal rows of sorted `keys` [n, w] begins, and n."""
    change = (keys[1:] != keys[:-1]).any(axis=1)
    inner = np.flatnonzero(change) + 1
    return np.concatenate([[0], inner, [len(keys)]]) if len(keys) else np.zeros(1, np.int64)


def copies_of_first(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """int64 [m, 2]: documents whose key a lower number has, with the lowest such number.

    keys: uint64 [n, w]; numbers: int64 [n], in any order. Ascending by document.
    """
    order = np.lexsort((numbers, *keys.T[::-1]))
    numbers, keys = numbers[order], keys[order]
    starts = runs_of_equal(keys)
    firsts = np.repeat(numbers[starts[:-1]], np.diff(starts))
    copy = numbers != firsts
    found = np.stack([numbers[copy], firsts[copy]], axis=1)
    return found[np.argsort(found[:, 0])]
