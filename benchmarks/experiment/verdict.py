"""Verdicts on claims, from figures paired by seed.

The unit is a seed: one value a seed, Student's interval over seeds. A claim holds where the whole
interval is within the threshold, fails where none of it is, and is else undecided at this size.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.experiment.schema import Cell, Claim, Experiment
from eval.pooled import t_interval

CONFIDENCE = 0.95
ALL_TEXTS = ""
Verdict = Literal["holds", "fails", "undecided at this size"]
UNDECIDED: Verdict = "undecided at this size"


@dataclass(frozen=True)
class Found:
    """A claim's values by seed, in nats a token, with mean and interval. limit: that the claim
    allows. At most `limit` is claimed of all of them. has_gain: what a share is kept of is a gain,
    the whole of its interval; without one no share of it can be told.
    """

    claim: Claim
    values: dict[int, float]
    mean: float
    low: float
    high: float
    limit: float
    has_gain: bool = True

    @property
    def verdict(self) -> Verdict:
        return verdict(self.low, self.high, self.limit) if self.has_gain else UNDECIDED


def verdict(low: float, high: float, at_most: float) -> Verdict:
    """Of an interval, of which it is claimed that it is at most so much."""
    if high <= at_most:
        return "holds"
    return "fails" if low > at_most else UNDECIDED


class Figures:
    """Nats a token of every cell by seed, from lines of finished runs."""

    def __init__(self, experiment: Experiment, lines: Iterable[dict[str, Any]]):
        part = experiment.evaluation.part
        self._nats = {
            (among, line["run"], condition, line["seed"]): parts[part]
            for line in lines
            for among, cells in {ALL_TEXTS: line["nats"], **line.get("nats_among", {})}.items()
            for condition, parts in cells.items()
            if part in parts
        }
        self.seeds = experiment.seeds

    def of(self, cell: Cell, among: str = ALL_TEXTS) -> dict[int, float]:
        """By seed, of those that are finished. among: of texts of a continent or country alone."""
        run, condition = cell
        return {
            s: self._nats[among, run, condition, s]
            for s in self.seeds
            if (among, run, condition, s) in self._nats
        }

    def change(self, of: Cell, against: Cell, among: str = ALL_TEXTS) -> dict[int, float]:
        """Nats of one cell less those of another, by seed that both have."""
        one, other = self.of(of, among), self.of(against, among)
        return {seed: one[seed] - other[seed] for seed in one if seed in other}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and Student's interval; a single value has none, and so all of the line."""
    if len(values) < 2:
        return (values[0] if values else math.nan), -math.inf, math.inf
    mean, half = t_interval(values, CONFIDENCE)
    return mean, mean - half, mean + half


def judge(claim: Claim, figures: Figures) -> Found:
    """A claim's verdict. Of `keeps`, the value is what is lost of the share of the gain to keep."""
    among = claim.among or ALL_TEXTS
    values = figures.change(claim.of, claim.against, among)
    limit, has_gain = 0.0, True
    if claim.keeps is None:
        limit = math.log1p(claim.at_most)
    else:
        gains = figures.change(claim.than, claim.against, among)
        values = {s: values[s] - claim.keeps * gains[s] for s in values if s in gains}
        has_gain = interval(list(gains.values()))[2] < 0
    return Found(claim, values, *interval(list(values.values())), limit, has_gain)
