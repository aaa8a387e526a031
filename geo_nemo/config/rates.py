"""The learning rate of every step: warm-up, then one cosine over the run or a piece a stage."""

import math
from itertools import pairwise

from geo_nemo.config.schema import Run
from geo_nemo.config.stage_bounds import stage_borders
from geo_nemo.config.stage_rate import StageRate


def learning_rate(run: Run, step: int) -> float:
    """The rate of optimizer step `step`, counted from 0.

    In the warm-up, step / warmup_steps of train.lr. After it, where no stage has a piece of its
    own: a cosine to train.min_lr over the rest of the run. Else the pieces, one after another; the
    warm-up takes the beginning of the first ones.
    """
    train = run.train
    if train.warmup_steps and step <= train.warmup_steps:
        return train.lr * step / train.warmup_steps
    pieces = [stage.lr for stage in run.stages.values()]
    if pieces[0] is None:
        whole = StageRate(shape="cosine")
        return _along(whole, train.lr, train.min_lr, train.warmup_steps, train.steps, step)
    borders = stage_borders(run)
    rate = train.lr
    for piece, (first, last) in zip(pieces, pairwise(borders), strict=True):
        first = max(first, min(train.warmup_steps, last))
        end = piece.end if piece.end is not None else train.min_lr
        if step < last:
            return _along(piece, rate, end, first, last, step)
        rate = _along(piece, rate, end, first, last, last)
    return rate


def _along(piece: StageRate, start: float, end: float, first: int, last: int, step: int) -> float:
    if piece.shape == "constant" or last == first:
        return start
    done = min((step - first) / (last - first), 1.0)
    left = {
        "cosine": 0.5 * (math.cos(math.pi * done) + 1.0),
        "linear": 1.0 - done,
        "sqrt": 1.0 - math.sqrt(done),
    }[piece.shape]
    return end + left * (start - end)
