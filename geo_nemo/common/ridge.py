"""Linear classifiers by ridge regression: what a straight line can read from features."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Probe:
    """How well classes can be told from features, on items that were not fitted.

    accuracy, majority: fractions right, of the classifier and of who always says the class that is
    most frequent among fitted items. chance: of who draws by its frequencies. right: bool [tested].
    """

    fitted: int
    tested: int
    classes: int
    accuracy: float
    majority: float
    chance: float
    right: np.ndarray


def fit(features: np.ndarray, labels: np.ndarray, classes: int, penalty: float) -> np.ndarray:
    """Weights [d + 1, classes], the last row constants: least squares on one-hot labels.

    features: [n, d]. labels: int [n]. The constant is not penalised. Solved in the smaller of both
    dimensions (Hastie, Tibshirani and Friedman 2009, 3.4.1 and 18.3.5).
    """
    x, target = np.asarray(features, np.float64), np.eye(classes)[labels]
    centre, middle = x.mean(0), target.mean(0)
    x, y = x - centre, target - middle
    number, size = x.shape
    if number < size:
        weights = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(number), y)
    else:
        weights = np.linalg.solve(x.T @ x + penalty * np.eye(size), x.T @ y)
    return np.vstack([weights, middle - centre @ weights])


def predict(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The likeliest class of each item, int [n]."""
    return (np.asarray(features, np.float64) @ weights[:-1] + weights[-1]).argmax(1)


def probe(
    features: np.ndarray, labels: np.ndarray, tested: np.ndarray, penalty: float = 1.0
) -> Probe | None:
    """Fitted on items that are not `tested`, bool [n]; None where either part is empty.

    labels: of any kind, [n]; a class that no fitted item has counts as wrong. Features are scaled
    by their spread among fitted items.
    """
    classes, numbers = np.unique(labels[~tested], return_inverse=True)
    if len(classes) < 2 or not tested.any():
        return None
    spread = features[~tested].std(0)
    scaled = features / np.where(spread > 0, spread, 1)
    weights = fit(scaled[~tested], numbers, len(classes), penalty * scaled.shape[1])
    right = classes[predict(scaled[tested], weights)] == labels[tested]
    counts = np.bincount(numbers)
    shares = dict(zip(classes.tolist(), (counts / counts.sum()).tolist(), strict=True))
    wanted = labels[tested].tolist()
    return Probe(
        int((~tested).sum()), int(tested.sum()), len(classes), float(right.mean()),
        float((labels[tested] == classes[counts.argmax()]).mean()),
        float(np.mean([shares.get(label, 0.0) for label in wanted])), right,
    )  # fmt: skip
