"""Tests of differences: McNemar's, of resampled values, Holm's correction, sums by cluster."""

import math
from collections.abc import Sequence

import numpy as np


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided p of paired answers, right or wrong: bool [n] each (McNemar 1947).

    Of the pairs that differ, as many are expected to favour either: a binomial test. Never 0.
    """
    only_first = int((first & ~second).sum())
    differ = only_first + int((~first & second).sum())
    fewer = min(only_first, differ - only_first)
    if 2 * fewer >= differ:
        return 1.0
    # In logarithms: 2^-differ of thousands of pairs is no number of floating point.
    terms = [_log_choose(differ, k) - differ * math.log(2) for k in range(fewer + 1)]
    top = max(terms)
    log_p = math.log(2) + top + math.log(math.fsum(math.exp(t - top) for t in terms))
    return min(1.0, max(math.exp(log_p), math.ulp(0.0)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def resampled_p(drawn: np.ndarray) -> float:
    """Two-sided p that a quantity is 0, of its values over resamples [samples].

    As many as lie on the other side of 0, and one more (Davison and Hinkley 1997, 4.2): never 0.
    """
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (1 + beyond) / (1 + len(drawn)))


def least_p(samples: int, comparisons: int) -> float:
    """The smallest p that `resampled_p` of so many samples has, corrected by `holm`."""
    return min(1.0, comparisons * (2 / (1 + samples)))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, in the same order (Holm 1979)."""
    order = np.argsort(values, kind="stable")
    found = np.empty(len(values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        found[place] = highest
    return found.tolist()


def cluster_sums(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Rows of `values` [n, k] summed by their cluster, int [n]; float64 [clusters, k].

    A bootstrap over these rows keeps what belongs together in one resample.
    """
    distinct, number = np.unique(clusters, return_inverse=True)
    sums = np.zeros((len(distinct), values.shape[1]))
    np.add.at(sums, number.reshape(-1), values)
    return sums
