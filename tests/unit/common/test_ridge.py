"""Ridge classifiers: against plain least squares, in both dimensions, and what they cannot see."""

import numpy as np
import pytest

from geo_nemo.common.ridge import fit, predict, probe


@pytest.mark.parametrize(("number", "size"), [(40, 6), (12, 30)])
def test_weights_are_those_of_least_squares_with_rows_for_the_penalty(number, size):
    """Ridge is least squares over the centred items and sqrt(penalty) times the unit matrix."""
    rng = np.random.default_rng(2)
    x, labels, penalty = rng.normal(size=(number, size)), rng.integers(3, size=number), 2.5
    y = np.eye(3)[labels]
    rows = np.vstack([x - x.mean(0), np.sqrt(penalty) * np.eye(size)])
    targets = np.vstack([y - y.mean(0), np.zeros((size, 3))])
    expected, *_ = np.linalg.lstsq(rows, targets, rcond=None)
    weights = fit(x, labels, 3, penalty)
    np.testing.assert_allclose(weights[:-1], expected, atol=1e-9)
    np.testing.assert_allclose(weights[-1], y.mean(0) - x.mean(0) @ expected, atol=1e-9)
    scores = x @ expected + y.mean(0) - x.mean(0) @ expected
    assert predict(x, weights).tolist() == scores.argmax(1).tolist()


def test_what_a_line_can_tell_is_told_on_items_that_were_not_fitted():
    rng = np.random.default_rng(0)
    labels = np.array(["a", "b", "c"])[rng.integers(3, size=300)]
    centres = {"a": [3, 0], "b": [0, 3], "c": [-3, -3]}
    x = np.array([centres[label] for label in labels]) + rng.normal(size=(300, 2)) * 0.5
    tested = np.arange(300) % 3 == 0
    found = probe(x, labels, tested)
    assert found.accuracy > 0.98 and (found.fitted, found.tested, found.classes) == (200, 100, 3)
    values, counts = np.unique(labels[~tested], return_counts=True)
    assert found.majority == (labels[tested] == values[counts.argmax()]).mean()
    shares = dict(zip(values, counts / 200, strict=True))
    assert found.chance == pytest.approx(np.mean([shares[label] for label in labels[tested]]))
    assert found.right.mean() == found.accuracy


def test_noise_is_told_at_chance():
    """600 tested items of 4 classes: 4 standard errors are 0.07."""
    rng = np.random.default_rng(1)
    labels, x = rng.integers(4, size=2000), rng.normal(size=(2000, 8))
    found = probe(x, labels, np.arange(2000) < 600)
    assert found.accuracy == pytest.approx(0.25, abs=0.07)


def test_a_class_that_was_never_fitted_is_wrong_and_one_class_is_no_probe():
    x = np.array([[0.0], [1.0], [0.1], [1.1], [5.0]])
    labels = np.array([0, 1, 0, 1, 2])
    found = probe(x, labels, np.array([0, 0, 1, 1, 1], bool))
    assert found.right.tolist() == [True, True, False]
    assert probe(x, np.zeros(5, int), np.array([0, 0, 0, 0, 1], bool)) is None
    assert probe(x, labels, np.zeros(5, bool)) is None
