"""Which texts begin alike, so that what they begin with need run once only."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

# Of groups within groups; texts of which each begins the next make no more.
_DEEPEST = 32


def alike(texts: Sequence[np.ndarray], least: int) -> list[tuple[np.ndarray, int]]:
    """Groups of texts and the tokens that all of a group begin with, at most all but the last.

    texts: ids [n] of each, n >= 1. least: tokens that a group must save, as each costs a run more.
    Returns places int64 [members] and a number for each group; every text is in one.
    """
    order = sorted(range(len(texts)), key=lambda at: np.asarray(texts[at], ">u4").tobytes())
    ordered = [texts[at] for at in order]
    # Of each text and the one in front of it; neighbours of a sorted list share the most.
    same = np.array([0, *map(_same, ordered[:-1], ordered[1:])], np.int64)
    groups: list[tuple[np.ndarray, int]] = []

    def divide(start: int, stop: int, shared: int, depth: int) -> list[int]:
        """Make groups of texts start to stop; those that remain, of which all begin `shared`."""
        inside = same[start + 1 : stop]
        common = int(inside.min())
        borders = [start, *(start + 1 + np.flatnonzero(inside == common)).tolist(), stop]
        rest: list[int] = []
        for first, end in pairwise(borders):
            more = int((same[first + 1 : end] - common).sum())
            if more >= least and depth < _DEEPEST:
                rest += divide(first, end, common, depth + 1)
            else:
                rest += range(first, end)
        if (common - shared) * (len(rest) - 1) < least:
            return rest
        groups.append((np.array([order[at] for at in rest]), common))
        return []

    rest = divide(0, len(texts), 0, 0) if len(texts) > 1 else list(range(len(texts)))
    if rest:
        groups.append((np.array([order[at] for at in rest]), 0))
    return groups


def _same(one: np.ndarray, other: np.ndarray) -> int:
    """Tokens that both begin with, but for the last of the shorter."""
    size = min(len(one), len(other)) - 1
    differ = np.flatnonzero(one[:size] != other[:size])
    return int(differ[0]) if len(differ) else size
