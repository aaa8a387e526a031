"""Intervals."""

import numpy as np
import pytest

from eval import bootstrap
from eval.bootstrap import clustered_wilson, percentile_interval, resampled_sums, wilson_interval
from eval.conditions import generator


def test_resampled_sums_keep_columns_of_a_row_together():
    values = np.random.default_rng(0).normal(size=(40, 1))
    sums = resampled_sums(np.hstack([values, 3 * values, np.ones((40, 1))]), 500, generator(0, "x"))
    assert sums.shape == (500, 3)
    np.testing.assert_allclose(sums[:, 1], 3 * sums[:, 0])
    assert (sums[:, 2] == 40).all()


def test_chunks_do_not_change_the_distribution(monkeypatch):
    values = np.random.default_rng(0).normal(size=(30, 1))
    whole = resampled_sums(values, 4000, generator(0, "x"))
    monkeypatch.setattr(bootstrap, "CHUNK_VALUES", 70)
    chunked = resampled_sums(values, 4000, generator(0, "x"))
    assert chunked.shape == whole.shape
    # The deviation of a sum of n resampled values is sqrt(n) times that of the values.
    expected = np.sqrt(30) * values.std()
    assert whole.std() == pytest.approx(expected, rel=0.05)
    assert chunked.std() == pytest.approx(expected, rel=0.05)


def test_a_95_percent_interval_of_a_ratio_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        tokens = rng.integers(20, 60, size=80).astype(float)
        nats = rng.gamma(9.0, tokens / 9.0) * 2.0  # 2 nats a token on average
        sums = resampled_sums(np.stack([nats, tokens], axis=1), 400, generator(trial, "x"))
        low, high = percentile_interval(sums[:, 0] / sums[:, 1], 0.95)
        covered += low <= 2.0 <= high
    assert 0.90 <= covered / 300 <= 0.99


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # Newcombe (1998), table I, method 3: score interval without continuity correction.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718), (29, 29, 0.8830, 1.0)],
)  # fmt: skip
def test_wilson_interval_equals_published_values(correct, total, low, high):
    found = wilson_interval(correct, total, 0.95)
    assert found == pytest.approx((low, high), abs=6e-5)


def test_a_proportion_of_clusters_is_covered_at_the_interval_s_rate():
    """25 hosts of 20 documents that are mostly all right or all wrong."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(25), 20)
    inside, alone = 0, 0
    for _ in range(400):
        right = rng.uniform(size=500) < rng.beta(0.6, 0.4, 25)[clusters]
        low, high = clustered_wilson(right, clusters, 0.9)
        inside += low <= 0.6 <= high
        low, high = wilson_interval(int(right.sum()), 500, 0.9)
        alone += low <= 0.6 <= high
    assert 0.87 < inside / 400 < 0.95 and alone / 400 < 0.5


def test_items_that_are_no_clusters_have_wilson_s_interval():
    rng = np.random.default_rng(1)
    right = rng.uniform(size=2000) < 0.3
    mine = clustered_wilson(right, np.arange(2000), 0.95)
    assert mine == pytest.approx(wilson_interval(int(right.sum()), 2000, 0.95), rel=1e-3)
    # The variance between clusters says nothing where all are right.
    assert clustered_wilson(np.ones(60, bool), np.arange(60) % 6, 0.95) == wilson_interval(
        6, 6, 0.95
    )
    assert clustered_wilson(right[:50], np.zeros(50, int), 0.95)[1] > 0.7
