"""Which split a document is in: a function of its content's hash, the seed and its country.

Two independent uniform numbers are drawn from the hash. The first decides on test: a country's
test set is its documents below a threshold, which is the test share where that gives neither too
few nor too many. The second decides on validation among the rest. So a split does not depend on
the order of the files. The hash is of the text alone and each text is kept once, so no text is in
two splits, whatever its titles and addresses.
"""

from dataclasses import dataclass

import numpy as np

from data_prep.narrow_config import Splits

TEST_DRAW, VALIDATION_DRAW, SAMPLE_DRAW = 0, 1, 2
TRAIN, VALIDATION, TEST = 0, 1, 2  # indices of geo_nemo.store.manifest.SPLITS
_FULL = 2.0**64


def uniform_bits(content_hash: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """uint64 [n] -> uint64 [n]: bits that look random and depend on all arguments.

    The finalizer of SplitMix64 (Steele, Lea and Flood, 2014), over the hash and the seed's own.
    """
    key = _mix(np.array([(seed * 4 + draw) % 2**64], np.uint64))
    return _mix(content_hash ^ key)


def below(share: float, bits: np.ndarray) -> np.ndarray:
    """bool [n]: true for `share` of uniform `bits`."""
    return bits < np.uint64(min(int(share * _FULL), 2**64 - 1))


class TestQuota:
    """Finds each country's threshold for test while documents stream by.

    Keeps at most 2 x test_max_per_country numbers of 8 bytes for a country.
    """

    __test__ = False  # not a test of pytest's

    def __init__(self, splits: Splits, seed: int):
        self._splits = splits
        self._seed = seed
        self._seen: dict[str, _Lowest] = {}

    def add(self, countries: list[str], content_hash: np.ndarray) -> None:
        """Count documents with these countries and hashes, uint64 [n]."""
        bits = uniform_bits(content_hash, self._seed, TEST_DRAW)
        names = np.array(countries)
        for country in set(countries):
            lowest = self._seen.setdefault(country, _Lowest(self._splits.test_max_per_country))
            lowest.add(bits[names == country])

    def thresholds(self) -> dict[str, int]:
        """Country to the highest bits that are in test; -1 where it has no test documents."""
        return {country: self._threshold(lowest) for country, lowest in self._seen.items()}

    def _threshold(self, lowest: "_Lowest") -> int:
        splits = self._splits
        if splits.test == 0:
            return -1
        bits, total = lowest.sorted(), lowest.total
        by_share = int(below(splits.test, bits).sum())
        least = min(splits.test_min_per_country, total // 5)
        # A country of few documents keeps at least half of them for training.
        size = min(max(by_share, least), splits.test_max_per_country, total // 2)
        return int(bits[size - 1]) if size else -1


@dataclass(frozen=True)
class Assignment:
    """The decided splits of a corpus."""

    splits: Splits
    seed: int
    thresholds: dict[str, int]

    def split_of(self, countries: list[str], content_hash: np.ndarray) -> np.ndarray:
        """int [n]: TRAIN, VALIDATION or TEST for documents of these countries and hashes."""
        test_bits = uniform_bits(content_hash, self.seed, TEST_DRAW)
        limit = np.array([max(self.thresholds[c], 0) for c in countries], np.uint64)
        some = np.array([self.thresholds[c] >= 0 for c in countries], bool)
        validation_bits = uniform_bits(content_hash, self.seed, VALIDATION_DRAW)
        # Validation's share is one of all documents; it is drawn from those not in test.
        share = self.splits.validation / (1 - self.splits.test)
        split = np.where(below(share, validation_bits), VALIDATION, TRAIN)
        return np.where(some & (test_bits <= limit), TEST, split)


class _Lowest:
    """The `keep` lowest of a stream of numbers, and how many there were."""

    def __init__(self, keep: int):
        self._keep = keep
        self._parts: list[np.ndarray] = []
        self._held = 0
        self.total = 0

    def add(self, values: np.ndarray) -> None:
        self._parts.append(values)
        self._held += len(values)
        self.total += len(values)
        if self._held > 2 * self._keep:
            values = np.concatenate(self._parts)
            self._parts = [np.partition(values, self._keep - 1)[: self._keep]]
            self._held = self._keep

    def sorted(self) -> np.ndarray:
        return np.sort(np.concatenate(self._parts))[: self._keep]


def _mix(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
