"""How much of a stage's tokens each country, or group of another field, gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import Sampling, UserError
from geo_nemo.data.draws import Draws, EpochDraws, MixedDraws
from geo_nemo.data.groups import Axis, axis_of
from geo_nemo.data.moving import LEAST_WINDOWS, MovingDraws
from geo_nemo.data.selection import check_names, stored_name

if TYPE_CHECKING:
    from geo_nemo.store import Split

_CHUNK = 1 << 20
# Sequences of windows of so many documents have about 1% of padding.
SMALLEST_WINDOW = 256


@dataclass(frozen=True)
class Groups:
    """The groups of a stage's documents; arrays have an element a group of `names`.

    documents: number of documents. tokens: their title and body tokens.
    """

    names: tuple[str, ...]
    documents: np.ndarray
    tokens: np.ndarray

    @classmethod
    def count(cls, split: Split, documents: np.ndarray, axis: Axis) -> Groups:
        """Documents and tokens of each group of a field among `documents`."""
        counts = np.zeros((2, len(axis)), dtype=np.int64)
        for first in range(0, len(documents), _CHUNK):
            chosen = documents[first : first + _CHUNK]
            group = axis.of(split, chosen)
            lengths = split.title_lengths[chosen] + split.body_lengths[chosen]
            counts[0] += np.bincount(group, minlength=len(axis))
            # Exact: sums of a chunk's lengths stay below 2^53.
            counts[1] += np.bincount(group, lengths, minlength=len(axis)).astype(np.int64)
        return cls(axis.names, *counts)


@dataclass(frozen=True)
class Pool:
    """What a sampler draws from, for one stage.

    documents: indices into the split, distinct, [n]. key: of the stage, for draws. window: at most
    so many documents are packed together. budget: tokens of the stage's sequences. stage: its name.
    """

    split: Split
    documents: np.ndarray
    sampling: Sampling
    key: int
    window: int
    budget: int
    stage: str


def as_they_are(pool: Pool) -> Draws:
    """Every document once an epoch."""
    return EpochDraws(pool.documents, pool.key, pool.window)


def by_weights(pool: Pool) -> Draws:
    """Groups at given weights, or moving from these to others."""
    return _moving(pool) if pool.sampling.end_weights else _mixed(pool, weighted)


def by_temperature(pool: Pool) -> Draws:
    """Groups as their tokens to a power."""
    return _mixed(pool, tempered)


def by_unimax(pool: Pool) -> Draws:
    """Groups equally, but none too often."""
    return _mixed(pool, unimax)


def _mixed(pool: Pool, rule: Callable[[Groups, Pool], np.ndarray]) -> Draws:
    """rule: fraction of the drawn text tokens of each group, up to a common factor, float64 [g]."""
    groups, documents, starts = _by_group(pool)
    per_token = _per_token(groups, rule(groups, pool))
    rates = per_token / per_token.sum()
    return MixedDraws(
        documents=documents,
        starts=starts,
        rates=rates,
        key=pool.key,
        size=_window_size(groups.documents, rates, pool.window),
    )


def _moving(pool: Pool) -> MovingDraws:
    groups, documents, starts = _by_group(pool)
    end = pool.sampling.model_copy(update={"weights": pool.sampling.end_weights})
    ends = [
        _per_token(groups, weighted(groups, each)) for each in (pool, replace(pool, sampling=end))
    ]
    densest = max(per_token.sum() for per_token in ends)
    size = min(
        _window_size(groups.documents, per_token / densest, pool.window) for per_token in ends
    )
    # Text of a window; enough windows for the weights to move, if they pack well.
    tokens = min(size / densest, max(pool.budget / LEAST_WINDOWS, SMALLEST_WINDOW / densest))
    first, last = (per_token * tokens for per_token in ends)
    return MovingDraws(documents, starts, first, last, pool.key)


def _by_group(pool: Pool) -> tuple[Groups, np.ndarray, np.ndarray]:
    """The pool's groups, its documents group after group, and where each begins, int64 [g + 1]."""
    split, documents = pool.split, pool.documents
    axis = sampling_axis(split, pool.sampling, pool.stage)
    groups = Groups.count(split, documents, axis)
    order = np.argsort(axis.of(split, documents), kind="stable")
    return groups, documents[order], np.concatenate([[0], np.cumsum(groups.documents)])


def _per_token(groups: Groups, fractions: np.ndarray) -> np.ndarray:
    """Documents of each group in a token of the whole, from its fraction of the tokens."""
    lengths = groups.tokens / np.maximum(groups.documents, 1)
    fractions = fractions / fractions.sum()
    return np.divide(fractions, lengths, out=np.zeros_like(fractions), where=groups.tokens > 0)


def tempered(groups: Groups, pool: Pool) -> np.ndarray:
    """Tokens to the power 1 / temperature."""
    # 0 to a power of a group that is not there must stay 0.
    power = 1 / (pool.sampling.temperature or 1)
    largest = max(int(groups.tokens.max()), 1)
    return np.where(groups.tokens > 0, (groups.tokens / largest) ** power, 0.0)


def weighted(groups: Groups, pool: Pool) -> np.ndarray:
    """As weights say. Raises UserError where they do not fit the documents."""
    sampling, stage = pool.sampling, pool.stage
    key = f"stages.{stage}.sampling.weights"
    weights: dict[str, float] = {}
    for name, weight in sampling.weights.items():
        stored = stored_name(sampling.by, name, groups.names)
        if stored in weights:
            raise UserError(f"{key} names {stored} twice: {', '.join(sampling.weights)}")
        weights[stored] = weight
    as_it_is = f"sampling@stages.{stage}.sampling=natural draws as the store is"
    check_names(key, list(weights), groups.names, f"; {as_it_is}")
    tokens = dict(zip(groups.names, groups.tokens.tolist(), strict=True))
    absent = [name for name in weights if not tokens[name]]
    if absent:
        raise UserError(
            f"{key} lists {', '.join(absent)}, of which the stage has no text: remove the weight "
            f"or widen stages.{stage}.select; {as_it_is}"
        )
    open_ones = [name for name, count in tokens.items() if count and name not in weights]
    if open_ones:
        few = ", ".join(open_ones[:8]) + (f" and {len(open_ones) - 8} more" * (len(open_ones) > 8))
        raise UserError(
            f"{key} has no weight for {few}: give one, or leave it out with "
            f"stages.{stage}.select; {as_it_is}"
        )
    return np.array([weights.get(name, 0.0) for name in groups.names])


def unimax(groups: Groups, pool: Pool) -> np.ndarray:
    """Chung et al., arXiv 2304.09151, algorithm 1: from the smallest group to the largest."""
    epochs, budget, stage = pool.sampling.unimax_epochs, pool.budget, pool.stage
    assert epochs is not None  # its rule was asked for
    most = float(groups.tokens.sum()) * epochs
    if budget > most:
        raise UserError(
            f"stages.{stage}.sampling.unimax_epochs={epochs:g} allows {most:,.0f} tokens of text, "
            f"and the stage takes {budget:,}: raise it, or train fewer steps"
        )
    fractions, left = np.zeros(len(groups.tokens)), float(budget)
    present = [g for g in np.argsort(groups.tokens, kind="stable") if groups.tokens[g]]
    for place, group in enumerate(present):
        equal = left / (len(present) - place)
        fractions[group] = min(equal, float(groups.tokens[group]) * epochs)
        left -= fractions[group]
    return fractions


def check_epochs(stage: str, sampling: Sampling, groups: Groups, epochs: np.ndarray) -> None:
    """Raise `UserError` where a group is seen more often than `max_epochs`."""
    most = sampling.max_epochs
    if most is None or not (epochs > most).any():
        return
    worst = int(np.argmax(epochs))
    raise UserError(
        f"stage {stage} would see {groups.names[worst]} {epochs[worst]:.2f} times, above "
        f"stages.{stage}.sampling.max_epochs={most:g}: it has {groups.tokens[worst]:,} tokens; "
        f"give it less weight, or train fewer steps"
    )


def sampling_axis(split: Split, sampling: Sampling, stage: str) -> Axis:
    """The groups that a stage's sampling is by."""
    return axis_of(split, sampling.by, f"stages.{stage}.sampling.by")


def _window_size(documents: np.ndarray, rates: np.ndarray, most: int) -> int:
    """Documents of a window: no group twice, where that leaves enough to pack well.

    The sequences of a window are shuffled, so that a window of several epochs would end them at
    random.
    """
    drawn = rates > 0
    once = int((documents[drawn] / rates[drawn]).min())
    return min(most, max(once, SMALLEST_WINDOW))
