"""Draws by hash: numbers that look random, and depend on nothing but a hash and the seed.

So what is drawn does not depend on the order of files, on workers or on what else is in a corpus.
"""

import numpy as np

# Draws are independent of each other; a number stands for one forever.
TEST_DRAW, VALIDATION_DRAW, SAMPLE_DRAW, BALANCE_DRAW = range(4)
ALL = 2**64 - 1


def uniform_bits(hashes: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """uint64 [n] -> uint64 [n]: bits that look random and depend on all arguments; one to one.

    The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), over the hash and the seed's own.
    """
    key = _mix(np.array([(seed * 4 + draw) % 2**64], np.uint64))
    return _mix(hashes ^ key)


def fraction_limit(fraction: float) -> int:
    """The bits below which `share` of uniform bits are."""
    return min(int(fraction * 2.0**64), ALL)


def below(fraction: float, bits: np.ndarray) -> np.ndarray:
    """bool [n]: true for `share` of uniform `bits`."""
    return bits < np.uint64(fraction_limit(fraction))


def contained(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """bool [n]: which of `values` [n] are in `ordered` [m], which is sorted."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    places = np.searchsorted(ordered, values)
    return ordered[np.minimum(places, len(ordered) - 1)] == values


class Lowest:
    """The `keep` lowest of a stream of numbers, and how many there were.

    Holds 8 bytes for each of at most 2 x `keep` numbers, and those of the last `add`.
    """

    def __init__(self, keep: int):
        self.keep = keep
        self.total = 0
        self._parts: list[np.ndarray] = []
        self._held = 0

    def add(self, values: np.ndarray) -> None:
        """Count numbers, uint64 [n]."""
        self._parts.append(values)
        self._held += len(values)
        self.total += len(values)
        if self._held > 2 * self.keep:
            values = np.concatenate(self._parts)
            self._parts = [np.partition(values, self.keep - 1)[: self.keep]]
            self._held = self.keep

    def sorted(self) -> np.ndarray:
        """uint64 [at most keep], from the lowest."""
        return np.sort(np.concatenate([np.empty(0, np.uint64), *self._parts]))[: self.keep]


def _mix(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
