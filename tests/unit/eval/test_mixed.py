"""The mixed model of seeds and documents: beside statsmodels, by hand, and in simulation."""

import math

import numpy as np
import pytest

from eval.mixed import crossed
from eval.pooled import t_interval, t_quantile


def drawn(rng, seeds, documents, sizes, mean=0.3):
    of_seed, of_document, rest = sizes
    return (
        mean
        + rng.normal(0, of_seed, seeds)[:, None]
        + rng.normal(0, of_document, documents)
        + rng.normal(0, rest, (seeds, documents))
    )


def test_it_is_the_analysis_of_variance_of_a_table_by_hand():
    """Rows 1, 2, 6 and 3, 8, 10: mean 5, rows 3 and 7, columns 2, 5 and 8; rest -1 -1 2 ..."""
    found = crossed(np.array([[1.0, 2.0, 6.0], [3.0, 8.0, 10.0]]), 0.95)
    # Sums of squares: seeds 3 * 8 = 24, documents 2 * 18 = 36, rest 4: mean squares 24, 18, 2.
    assert found.mean == 5
    assert (found.seeds, found.documents, found.rest) == pytest.approx((22 / 3, 8, 2))
    variance = (24 + 18 - 2) / 6
    assert found.error == pytest.approx(math.sqrt(variance))
    degrees = 40**2 / (24**2 / 1 + 18**2 / 2 + 2**2 / 2)
    assert found.degrees == pytest.approx(degrees)
    half = t_quantile(0.95, math.floor(degrees)) * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((5 - half, 5 + half))


def test_without_differences_between_documents_it_is_student_s_interval_over_seeds():
    """Documents vary less than the rest: their component is 0 and the seeds' mean square stays."""
    noise = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
    values = np.array([[0.0], [8.0]]) + noise
    found = crossed(values, 0.95)
    mean, half = t_interval(values.mean(1).tolist(), 0.95)
    assert found.documents == 0
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


def test_alike_seeds_leave_an_interval_over_documents():
    values = np.tile(np.arange(12.0), (3, 1))
    found = crossed(values, 0.95)
    mean, half = t_interval(np.arange(12.0).tolist(), 0.95)
    assert found.seeds == found.rest == 0
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half))


@pytest.mark.parametrize("sizes", [(0.5, 1.0, 0.7), (0.2, 0.1, 1.0), (0.0, 1.0, 0.5)])
def test_variances_and_the_mean_s_error_are_those_of_statsmodels(sizes):
    """REML of crossed effects; its optimiser stops some 1e-4 before the optimum."""
    regression = pytest.importorskip(
        "statsmodels.regression.mixed_linear_model", reason="make test-lm-eval installs it"
    )
    pandas = pytest.importorskip("pandas")
    values = drawn(np.random.default_rng(7), 5, 30, sizes)
    table = pandas.DataFrame({
        "y": values.ravel(), "seed": np.repeat(np.arange(5), 30),
        "document": np.tile(np.arange(30), 5), "all": 1,
    })  # fmt: skip
    model = regression.MixedLM.from_formula(
        "y ~ 1", groups="all", re_formula="0",
        vc_formula={"seed": "0 + C(seed)", "document": "0 + C(document)"}, data=table,
    )  # fmt: skip
    theirs = model.fit(reml=True, method="powell")
    ours = crossed(values, 0.95)
    by_name = dict(zip(model.exog_vc.names, theirs.vcomp, strict=True))
    assert ours.mean == pytest.approx(float(theirs.fe_params.iloc[0]), abs=1e-6)
    for name, mine in (("seed", ours.seeds), ("document", ours.documents)):
        assert mine == pytest.approx(by_name[name], rel=0.01, abs=2e-3)
    assert ours.rest == pytest.approx(theirs.scale, rel=0.01)
    assert ours.error == pytest.approx(float(theirs.bse_fe.iloc[0]), rel=0.01)


def test_intervals_cover_at_their_rate_where_seeds_and_documents_vary():
    """95% of 400: 3 standard errors are 13 below 380; fewer degrees than there are widen it."""
    rng, held, students = np.random.default_rng(3), 0, 0
    for _ in range(400):
        values = drawn(rng, 4, 40, (0.3, 1.5, 0.5))
        found = crossed(values, 0.95)
        held += found.low <= 0.3 <= found.high
        mean, half = t_interval(values.mean(1).tolist(), 0.95)
        students += mean - half <= 0.3 <= mean + half
    assert held >= 367
    # Student's says nothing of other documents, and is the narrower one.
    assert students < held
