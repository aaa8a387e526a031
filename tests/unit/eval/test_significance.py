"""Statistics against SciPy, against brute force, and in simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.bootstrap import percentile_interval, resampled_sums, wilson_interval
from eval.report.sentences import p_value
from eval.significance import cluster_sums, holm, least_p, mcnemar, resampled_p


def pairs(only_first: int, only_second: int, both: int = 3) -> tuple[np.ndarray, np.ndarray]:
    first = np.array([1] * only_first + [0] * only_second + [1] * both, bool)
    second = np.array([0] * only_first + [1] * only_second + [1] * both, bool)
    return first, second


@settings(max_examples=100)
@given(a=st.integers(0, 400), b=st.integers(0, 400))
def test_mcnemar_is_scipy_s_exact_binomial_test(a, b):
    expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar(*pairs(a, b)) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(*pairs(b, a)) == mcnemar(*pairs(a, b))


def test_mcnemar_is_never_0():
    assert 0 < mcnemar(*pairs(5000, 0)) < 1e-300


@settings(max_examples=60)
@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=5))
def test_holm_is_the_closure_of_bonferroni(values):
    """A hypothesis is rejected where every set of hypotheses with it is (Marcus et al. 1976)."""
    everything = range(len(values))
    expected = [
        max(
            min(1.0, len(group) * min(values[n] for n in group))
            for size in range(1, len(values) + 1)
            for group in itertools.combinations(everything, size)
            if number in group
        )
        for number in everything
    ]
    assert holm(values) == pytest.approx(expected)


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []


def test_a_p_of_resamples_is_never_0_and_is_two_sided():
    assert resampled_p(np.full(999, 2.0)) == 2 / 1000
    assert resampled_p(-np.full(999, 2.0)) == 2 / 1000
    assert resampled_p(np.array([-1.0, 1.0] * 50)) == 1.0


def test_the_least_p_is_that_of_resamples_on_one_side_after_correction():
    alone = resampled_p(np.full(1999, 2.0))
    assert holm([alone, 0.5, 0.9])[0] == pytest.approx(least_p(1999, 3), rel=1e-12)
    assert (p_value(3 * alone, least_p(1999, 3)), p_value(0.0031, 0.003)) == (
        "\u2264 0.003",
        "0.0031",
    )
    assert least_p(9, 100) == 1.0


def test_under_no_effect_p_is_about_uniform():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        values = np.stack([rng.normal(size=80), np.ones(80)], axis=1)
        found.append(resampled_p(resampled_sums(values, 400, rng)[:, 0]))
    # A fraction of 300 at 0.05 has a standard error of 0.013.
    assert 0.01 < np.mean(np.array(found) < 0.05) < 0.1
    assert 0.4 < np.mean(found) < 0.6


def test_wilson_is_scipy_s():
    for correct, total in ((0, 7), (3, 11), (850, 1700), (12, 12)):
        expected = stats.binomtest(correct, total).proportion_ci(0.95, method="wilson")
        assert wilson_interval(correct, total, 0.95) == pytest.approx(
            (expected.low, expected.high), abs=1e-12
        )


def test_the_bootstrap_is_scipy_s_within_its_noise():
    rng = np.random.default_rng(1)
    values = rng.gamma(2, size=200)
    drawn = resampled_sums(np.stack([values, np.ones(200)], 1), 20_000, rng)
    low, high = percentile_interval(drawn[:, 0] / drawn[:, 1], 0.95)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    spread = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.03 * spread)
    assert high == pytest.approx(expected.high, abs=0.03 * spread)


def covered(clustered: bool) -> float:
    """How often a 90% interval holds the true mean 0, of documents that share a part by host."""
    rng, hits = np.random.default_rng(3), 0
    hosts = np.repeat(np.arange(40), 10)
    for _ in range(300):
        values = rng.normal(size=40)[hosts] + rng.normal(size=400)
        columns = np.stack([values, np.ones(400)], axis=1)
        drawn = resampled_sums(cluster_sums(columns, hosts) if clustered else columns, 300, rng)
        low, high = percentile_interval(drawn[:, 0] / drawn[:, 1], 0.9)
        hits += low <= 0 <= high
    return hits / 300


def test_an_interval_over_hosts_covers_at_its_rate_and_one_over_documents_does_not():
    assert 0.84 < covered(clustered=True) < 0.95  # 0.9, with a standard error of 0.017
    assert covered(clustered=False) < 0.6


def test_sums_by_cluster_are_those_of_a_loop():
    rng = np.random.default_rng(4)
    values, clusters = rng.normal(size=(50, 3)), rng.integers(7, size=50)
    found = cluster_sums(values, clusters)
    expected = [
        [math.fsum(values[clusters == c, k]) for k in range(3)] for c in np.unique(clusters)
    ]
    assert found == pytest.approx(np.array(expected))
    names = np.array(list("abcdefg"))[clusters]
    assert cluster_sums(values, names) == pytest.approx(found)
