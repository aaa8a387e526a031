"""Least squares of the law, its intervals, and its error on runs that it has not seen.

Nats = a + b ln(parameters / 1M) + c ln(tokens / 1M) + d dropout + e cooldown. Rows that share
their ordinary run share its chance, so standard errors are clustered by it (CR1; Liang and Zeger
1986, DOI 10.1093/biomet/73.1.13), with Student's quantile of one degree less than there are
clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.law.rows import Row
from eval.pooled import t_quantile
from geo_nemo.common.errors import UserError

UNIT = 1e6
TERMS = ("at 1M, 1M tokens", "ln parameters", "ln tokens", "dropout", "cooldown")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Law:
    """coefficients: (5,), nats, in the order of TERMS. covariance: (5, 5), clustered. spread:
    standard deviation of the residuals, nats. degrees: of Student's distribution.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    spread: float
    degrees: int

    def interval(self, term: int) -> tuple[float, float, float]:
        """A coefficient and its interval, nats."""
        value, half = self.coefficients[term], math.sqrt(self.covariance[term, term])
        half *= t_quantile(CONFIDENCE, self.degrees)
        return float(value), float(value - half), float(value + half)

    def predict(
        self, parameters: float, tokens: float, dropout: float, cooldown: float
    ) -> tuple[float, float, float]:
        """Nats of one run more at such a size, and the interval that it lies in."""
        at = _terms(parameters, tokens, dropout, cooldown)
        variance = float(at @ self.covariance @ at) + self.spread**2
        half = t_quantile(CONFIDENCE, self.degrees) * math.sqrt(variance)
        value = float(at @ self.coefficients)
        return value, value - half, value + half


@dataclass(frozen=True)
class Error:
    """Of runs left out. law, mean: root mean square error, nats, of the law that the others give
    and of their mean alone. covered: how many lie in the law's interval, of `count`.
    """

    law: float
    mean: float
    covered: int
    count: int


def _terms(parameters: float, tokens: float, dropout: float, cooldown: float) -> np.ndarray:
    return np.array(
        [1.0, math.log(parameters / UNIT), math.log(tokens / UNIT), dropout, cooldown]
    )  # fmt: skip


def _design(rows: Sequence[Row]) -> np.ndarray:
    """(rows, 5)"""
    return np.stack([_terms(r.parameters, r.tokens, r.dropout, r.cooldown) for r in rows])


def fit(rows: Sequence[Row], outcome: str) -> Law:
    """The law of `gain` or `deficit`; `UserError` where rows do not tell its terms apart."""
    design = _design(rows)
    values = np.array([row.change[outcome] for row in rows])
    count, terms = design.shape
    clusters = sorted({row.pair for row in rows})
    if np.linalg.matrix_rank(design) < terms or count <= terms or len(clusters) < 2:
        raise UserError(
            f"{count} runs do not tell {', '.join(TERMS[1:])} apart, each of which needs two "
            "values: run python -m benchmarks experiment small_sizes"
        )
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ values
    left = values - design @ coefficients
    middle = np.zeros((terms, terms))
    for cluster in clusters:
        chosen = [n for n, row in enumerate(rows) if row.pair == cluster]
        score = design[chosen].T @ left[chosen]
        middle += np.outer(score, score)
    few = len(clusters) / (len(clusters) - 1) * (count - 1) / (count - terms)
    spread = math.sqrt(float(left @ left) / (count - terms))
    return Law(coefficients, few * inverse @ middle @ inverse, spread, len(clusters) - 1)


def left_out(rows: Sequence[Row], outcome: str) -> Error:
    """Error of each size's runs under the law of all other sizes."""
    return _error(rows, outcome, [{size} for size in sorted({row.size for row in rows})])


def upwards(rows: Sequence[Row], outcome: str) -> Error:
    """Error of the largest model's runs under the law of the smaller ones."""
    largest = max(row.parameters for row in rows)
    return _error(rows, outcome, [{row.size for row in rows if row.parameters == largest}])


def _error(
    rows: Sequence[Row], outcome: str, folds: Sequence[set[tuple[int, int]]]
) -> Error:  # fmt: skip
    by_law, by_mean, covered = [], [], 0
    for fold in folds:
        seen = [row for row in rows if row.size not in fold]
        law = fit(seen, outcome)
        mean = float(np.mean([row.change[outcome] for row in seen]))
        for row in rows:
            if row.size not in fold:
                continue
            told, low, high = law.predict(row.parameters, row.tokens, row.dropout, row.cooldown)
            by_law.append(row.change[outcome] - told)
            by_mean.append(row.change[outcome] - mean)
            covered += low <= row.change[outcome] <= high
    return Error(_root(by_law), _root(by_mean), covered, len(by_law))


def _root(errors: Sequence[float]) -> float:
    return math.sqrt(math.fsum(error**2 for error in errors) / len(errors))
