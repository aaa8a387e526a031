"""Intervals: percentile bootstrap over documents; Wilson's for proportions, and for clusters'."""

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from eval.pooled import t_quantile
from eval.significance import cluster_sums

# Below this many documents a percentile interval is far too narrow to be shown.
MIN_DOCUMENTS = 10
CHUNK_VALUES = 4_000_000


def resampled_sums(values: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Column sums of `values` [n, k] over `samples` resamples of its rows; float64 [samples, k].

    All columns share each resample, so differences and ratios of them are paired.
    """
    return np.concatenate(
        [counts @ values for counts in _resample_counts(len(values), samples, rng)]
    )


def _resample_counts(n: int, samples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each of n rows is drawn, in chunks that bound memory; float64 [chunk, n]."""
    chunk = max(1, CHUNK_VALUES // n)
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        draws = rng.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        counts = np.bincount(draws.ravel(), minlength=size * n)
        yield counts.reshape(size, n).astype(np.float64)


def percentile_interval(resampled: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound along the first axis of `resampled` [samples, ...]."""
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return low, high


def wilson_interval(correct: float, total: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), total > 0."""
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    p = correct / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def clustered_wilson(
    right: np.ndarray, clusters: np.ndarray, confidence: float
) -> tuple[float, float]:
    """Wilson's interval of a proportion of items, bool [n], which come in clusters, [n].

    Its total is the number of items that would be as sure each by itself, at most n: by the
    variance between clusters, with Student's quantile for their number (Korn and Graubard 1998).
    Where nothing varies, as where all are right, it is the number of clusters. Items that are each
    a cluster have Wilson's own interval.
    """
    p, number = float(right.mean()), len(right)
    hits, sizes = cluster_sums(np.stack([right, np.ones(number)], axis=1), clusters).T
    if len(sizes) == number:
        return wilson_interval(int(right.sum()), number, confidence)
    total = float(len(sizes))
    if len(sizes) > 1 and 0 < p < 1:
        spread = ((hits - p * sizes) ** 2).sum() * len(sizes) / (len(sizes) - 1)
        quantiles = t_quantile(confidence, number - 1) / t_quantile(confidence, len(sizes) - 1)
        alone = p * (1 - p) * number**2 * quantiles**2
        total = min(float(number), max(1.0, alone / spread if spread else float(number)))
    return wilson_interval(p * total, total, confidence)
