"""Learning efficiency: how early a model reaches the loss at which another one ends."""

from collections.abc import Sequence

import numpy as np

from eval.analyses.study import Estimate, Member, Study
from eval.bootstrap import MIN_DOCUMENTS, percentile_interval

NEVER = -1.0


def saved_tokens(study: Study, curve: Sequence[Member], plain: Member) -> Estimate:
    """1 - t / T: at t tokens the curve has the loss that `plain` has at its end, T tokens.

    curve: a run's checkpoints by tokens, two or more, told the truth. Between checkpoints the loss
    is a line over the logarithm of tokens. -1 stands for a curve that never gets there; one whose
    first checkpoint is there already has saved at least what is said. The interval resamples
    documents, the same ones for both.
    """
    columns = np.stack(
        [
            *(member.nats("with", study.part) for member in curve),
            plain.nats("without", study.part),
            plain.tokens(study.part),
        ],
        axis=1,
    )[study.places()]
    tokens = np.array([member.trained.tokens for member in curve], np.float64)
    end = plain.trained.final_tokens
    value = float(_saved(columns.sum(0)[None].astype(np.float64), tokens, end)[0])
    if len(columns) < MIN_DOCUMENTS:
        return Estimate(value, None, None, 1, len(columns))
    drawn = _saved(study.resampled(columns), tokens, end)
    low, high = percentile_interval(drawn, study.confidence)
    return Estimate(value, float(low), float(high), 1, len(columns))


def _saved(sums: np.ndarray, tokens: np.ndarray, end: int) -> np.ndarray:
    """Of sums [draws, checkpoints + 2]: nats of each checkpoint, of the plain model, and tokens."""
    losses, wanted = sums[:, :-2] / sums[:, -1:], sums[:, -2] / sums[:, -1]
    reached = losses <= wanted[:, None]
    first = reached.argmax(axis=1)
    rows = np.arange(len(losses))
    before = np.maximum(first - 1, 0)
    high, low = losses[rows, before], losses[rows, first]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(first > 0, (high - wanted) / (high - low), 1.0)
    at = np.exp(np.log(tokens[before]) * (1 - part) + np.log(tokens[first]) * part)
    return np.where(reached.any(axis=1), 1 - at / end, NEVER)
