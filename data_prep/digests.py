"""A set of digests in about 8 or 16 bytes each, for exact deduplication of a whole corpus."""

import numpy as np


class DigestSet:
    """Digests of 128 bits (`wide`) or 64, kept as sorted runs that are merged as they grow.

    Runs at least double in size from one to the next, so that n digests are in at most log2(n)
    runs, and each is moved log2(n) times. A merge needs as much memory again for its two runs.
    """

    def __init__(self, wide: bool = True):
        self._wide = wide
        self._runs: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(run.shape[1] for run in self._runs)

    @property
    def nbytes(self) -> int:
        """Bytes held between calls."""
        return sum(run.nbytes for run in self._runs)

    def add(self, digests: list[bytes]) -> np.ndarray:
        """Add `digests` (16 bytes each, or 8); bool [n], true where one was not there before.

        Of equal ones in the same call, the first is the new one.
        """
        if not digests:
            return np.empty(0, bool)
        width = 2 if self._wide else 1
        words = np.frombuffer(b"".join(digests), ">u8").reshape(-1, width).T.astype(np.uint64)
        order = np.lexsort(words[::-1])  # by the first word, then the second; stable
        ordered = words[:, order]
        first = np.ones(ordered.shape[1], bool)
        first[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
        for run in self._runs:
            first &= ~_contained(run, ordered)
        new = np.zeros(len(first), bool)
        new[order] = first
        if first.any():
            self._runs.append(np.ascontiguousarray(ordered[:, first]))
            self._merge()
        return new

    def _merge(self) -> None:
        runs = self._runs
        while len(runs) > 1 and 2 * runs[-1].shape[1] > runs[-2].shape[1]:
            joined = np.concatenate([runs.pop(-2), runs.pop()], axis=1)
            runs.append(joined[:, np.lexsort(joined[::-1])])


def _contained(run: np.ndarray, words: np.ndarray) -> np.ndarray:
    """bool [n]: which columns of `words` [w, n] are columns of `run` [w, m]; both are sorted."""
    left = np.searchsorted(run[0], words[0], side="left")
    right = np.searchsorted(run[0], words[0], side="right")
    found = np.zeros(words.shape[1], bool)
    single = right - left == 1
    found[single] = (run[:, left[single]] == words[:, single]).all(axis=0)
    # Several digests share the first word: next to never, so a loop will do.
    for i in np.flatnonzero(right - left > 1):
        found[i] = bool((run[:, left[i] : right[i]] == words[:, i : i + 1]).all(axis=0).any())
    return found
