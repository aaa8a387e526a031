"""Exact copies: lists of (document, first document with the same key), one list a partition."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data_prep.dedup.arrays import load

DROPS = "copies.npy"


class Drops:
    """int64 [m, 2] lists, each ascending by document, read where they lie."""

    def __init__(self, folders: Iterable[Path]):
        self._lists = [load(folder / DROPS) for folder in folders]

    def between(self, start: int, stop: int) -> np.ndarray:
        """int64 [k, 2]: of documents from `start` on to before `stop`, ascending."""
        found = []
        for pairs in self._lists:
            first, last = np.searchsorted(pairs[:, 0], [start, stop])
            found.append(pairs[first:last])
        if not found:
            return np.empty((0, 2), np.int64)
        pairs = np.concatenate(found)
        return pairs[np.argsort(pairs[:, 0], kind="stable")]

    def mask(self, start: int, stop: int) -> np.ndarray:
        """bool [stop - start]: which of the documents are in a list."""
        mask = np.zeros(stop - start, bool)
        mask[self.between(start, stop)[:, 0] - start] = True
        return mask
