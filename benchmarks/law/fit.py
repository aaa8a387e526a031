"""Least squares of the law, its intervals, and its error on runs that it has not seen.

Nats = a + b exp(-C / c) + d dropout + e cooldown, with C = parameters x tokens: what the first
steps cost a conditioned model fades with compute, and a is left. For a given c the others are
linear, so c alone is searched for. Early runs scatter by per cents and late ones by tenths, so a
row weighs by the inverse of its variance, a power of C that is fitted to what the law leaves
(Harvey 1976, DOI 10.2307/1913974), in turns with the law. Rows that share their ordinary run share
its chance, so standard errors are clustered by it (CR1; Liang and Zeger 1986, DOI
10.1093/biomet/73.1.13), of the law linearised at its coefficients, with Student's quantile of one
degree less than there are clusters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.law.rows import Row
from eval.pooled import t_quantile
from geo_nemo.common.errors import UserError

TERMS = ("in the end", "more at the beginning", "dropout", "cooldown")
CONFIDENCE = 0.95
# Of the search for c: a grid over its logarithm, then sections of the best of its spans.
_GRID, _SECTIONS = 61, 40
# Turns of law and scatter; of the runs here, coefficients move by less than 1e-4 in the last.
_TURNS = 5
# A residual of 0 has no logarithm: squares are at least this share of their mean.
_LEAST = 1e-6
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Law:
    """coefficients: (4,), nats, in the order of TERMS. fades: c, parameters x tokens after which
    what the beginning costs is down to 1/e. covariance: (5, 5), clustered, of the coefficients and
    ln c. spread: standard deviation of a run of the largest compute, nats; it moves with the power
    `power` of compute. largest: that compute. degrees: of Student's distribution.
    """

    coefficients: np.ndarray
    fades: float
    covariance: np.ndarray
    spread: float
    power: float
    largest: float
    degrees: int

    def scatter(self, compute: float) -> float:
        """Standard deviation of a run, nats; beyond what was measured it fades no further."""
        return self.spread * (min(compute, self.largest) / self.largest) ** self.power

    def interval(self, term: int) -> tuple[float, float, float]:
        """A coefficient and its interval, nats."""
        value, half = self.coefficients[term], self._half(self.covariance[term, term])
        return float(value), float(value - half), float(value + half)

    def fades_between(self) -> tuple[float, float, float]:
        """c and its interval, parameters x tokens."""
        # Where nothing fades, c has no bound; 700 is what a double holds.
        half = min(self._half(self.covariance[-1, -1]), 700.0)
        return self.fades, self.fades * math.exp(-half), self.fades * math.exp(half)

    def predict(
        self, parameters: float, tokens: float, dropout: float, cooldown: float
    ) -> tuple[float, float, float]:
        """Nats of one run more at such a size, and the interval that it lies in."""
        compute = np.array([parameters * tokens], float)
        at = _terms(compute, self.fades, np.array([dropout]), np.array([cooldown]))
        slopes = _slopes(at, compute, self.coefficients, self.fades)[0]
        of_law = float(slopes @ self.covariance @ slopes)
        half = self._half(of_law + self.scatter(float(compute[0])) ** 2)
        value = float(at[0] @ self.coefficients)
        return value, value - half, value + half

    def _half(self, variance: float) -> float:
        return t_quantile(CONFIDENCE, self.degrees) * math.sqrt(variance)


@dataclass(frozen=True)
class Error:
    """Of runs left out. law, mean: root mean square error, nats, of the law that the others give
    and of their mean alone. covered: how many lie in the law's interval, of `count`.
    """

    law: float
    mean: float
    covered: int
    count: int


def _terms(
    compute: np.ndarray, fades: float, dropout: np.ndarray, cooldown: np.ndarray
) -> np.ndarray:
    """(rows, 4), in the order of TERMS; compute, dropout, cooldown: (rows,)."""
    return np.column_stack([np.ones_like(compute), np.exp(-compute / fades), dropout, cooldown])


def _slopes(
    design: np.ndarray, compute: np.ndarray, coefficients: np.ndarray, fades: float
) -> np.ndarray:
    """(rows, 5): of the law by each coefficient, and by ln c."""
    by_log = coefficients[1] * design[:, 1] * compute / fades
    return np.column_stack([design, by_log])


def fit(rows: Sequence[Row], outcome: str) -> Law:
    """The law of `gain` or `deficit`; `UserError` where rows do not tell its terms apart."""
    values = np.array([row.change[outcome] for row in rows])
    compute = np.array([row.compute for row in rows])
    clusters = sorted({row.pair for row in rows})
    count, unknown = len(rows), len(TERMS) + 1
    design = _design(rows, compute)
    apart = len(set(compute)) >= 3 and np.linalg.matrix_rank(design(compute.mean())) == len(TERMS)
    if not apart or count <= unknown or len(clusters) < 2:
        raise UserError(
            f"{count} runs do not tell what fades from what stays, dropout and cooldown: that "
            "takes three sizes and two values of each; run python -m benchmarks experiment "
            "small_sizes"
        )
    power, scale, largest = 0.0, np.ones(count), float(compute.max())
    fades, coefficients, residuals = _weighted(design, compute, values, scale)
    for _ in range(_TURNS):
        power = _power(compute, residuals)
        scale = (compute / largest) ** power
        fades, coefficients, residuals = _weighted(design, compute, values, scale)
    slopes = _slopes(design(fades), compute, coefficients, fades) / scale[:, None]
    scaled = residuals / scale
    inverse = np.linalg.pinv(slopes.T @ slopes)
    middle = np.zeros((unknown, unknown))
    for cluster in clusters:
        chosen = [n for n, row in enumerate(rows) if row.pair == cluster]
        score = slopes[chosen].T @ scaled[chosen]
        middle += np.outer(score, score)
    few = len(clusters) / (len(clusters) - 1) * (count - 1) / (count - unknown)
    spread = math.sqrt(float(scaled @ scaled) / (count - unknown))
    covariance = few * inverse @ middle @ inverse
    return Law(coefficients, fades, covariance, spread, power, largest, len(clusters) - 1)


def _design(rows: Sequence[Row], compute: np.ndarray) -> Callable[[float], np.ndarray]:
    """Of c, the terms of each row, (rows, 4)."""
    dropout = np.array([row.dropout for row in rows])
    cooldown = np.array([row.cooldown for row in rows])
    return lambda fades: _terms(compute, fades, dropout, cooldown)


def _weighted(
    design: Callable[[float], np.ndarray],
    compute: np.ndarray,
    values: np.ndarray,
    scale: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray]:
    """c, the coefficients and what they leave, nats; scale: a row's deviation, up to a factor."""

    def solved(log_fades: float) -> tuple[np.ndarray, np.ndarray]:
        at = design(math.exp(log_fades))
        found = np.linalg.lstsq(at / scale[:, None], values / scale, rcond=None)[0]
        return found, values - at @ found

    def squares(log_fades: float) -> float:
        left = solved(log_fades)[-1] / scale
        return float(left @ left)

    log_fades = _lowest(squares, math.log(compute.min() / 4), math.log(compute.max()))
    return math.exp(log_fades), *solved(log_fades)


def _power(compute: np.ndarray, residuals: np.ndarray) -> float:
    """Half the slope of the logarithm of squared residuals over that of compute."""
    squares = residuals**2
    least = _LEAST * float(squares.mean()) or 1.0
    over = np.column_stack([np.ones_like(compute), np.log(compute)])
    logarithms = np.log(np.maximum(squares, least))
    return float(np.linalg.lstsq(over, logarithms, rcond=None)[0][1]) / 2


def _lowest(of: Callable[[float], float], low: float, high: float) -> float:
    """Where `of` is lowest: the best point of a grid, then golden sections beside it."""
    grid = np.linspace(low, high, _GRID)
    best = int(np.argmin([of(float(at)) for at in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)])
    for _ in range(_SECTIONS):
        width = _GOLDEN * (high - low)
        if of(high - width) < of(low + width):
            high = low + width
        else:
            low = high - width
    return (low + high) / 2


def left_out(rows: Sequence[Row], outcome: str, least: float = 0.0) -> Error:
    """Error of each size's runs under the law of all other sizes; least: parameters x tokens of a
    size that is left out. `UserError` where none has so many.
    """
    sizes = sorted({row.size for row in rows if row.compute >= least})
    if not sizes:
        raise UserError(f"no run has {least:.0e} parameters x tokens")
    return _error(rows, outcome, [[row.size == size for row in rows] for size in sizes])


def upwards(rows: Sequence[Row], outcome: str) -> Error:
    """Error of the largest model's runs under the law of the smaller ones."""
    largest = max(row.parameters for row in rows)
    return _error(rows, outcome, [[row.parameters == largest for row in rows]])


def of_source(rows: Sequence[Row], outcome: str, source: str) -> Error:
    """Error of an experiment's runs under the law of all others: of the same size, other seeds."""
    return _error(rows, outcome, [[row.source == source for row in rows]])


def _error(rows: Sequence[Row], outcome: str, folds: Sequence[Sequence[bool]]) -> Error:
    """folds: which rows are left out, and foretold from the others."""
    by_law, by_mean, covered = [], [], 0
    for fold in folds:
        seen = [row for row, out in zip(rows, fold, strict=True) if not out]
        law = fit(seen, outcome)
        mean = float(np.mean([row.change[outcome] for row in seen]))
        for row in (row for row, out in zip(rows, fold, strict=True) if out):
            told, low, high = law.predict(row.parameters, row.tokens, row.dropout, row.cooldown)
            by_law.append(row.change[outcome] - told)
            by_mean.append(row.change[outcome] - mean)
            covered += low <= row.change[outcome] <= high
    return Error(_root(by_law), _root(by_mean), covered, len(by_law))


def _root(errors: Sequence[float]) -> float:
    return math.sqrt(math.fsum(error**2 for error in errors) / len(errors))
