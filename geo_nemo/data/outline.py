"""A stage in numbers before it is run, from the store's columns and one packing window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import Run
from geo_nemo.config.stage_bounds import own_samples
from geo_nemo.config.stage_sizes import stage_run
from geo_nemo.data.counter import derive_key
from geo_nemo.data.dataset import Statistics
from geo_nemo.data.draws import Draws
from geo_nemo.data.groups import Axis, axis_of
from geo_nemo.data.mixing import Groups, check_epochs, sampling_axis
from geo_nemo.data.run_draws import all_draws
from geo_nemo.data.window import Counts, Planner, Window
from geo_nemo.metadata.compose import Composer

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.tokenizers.base import Tokenizer

# Windows of few documents may be empty where groups are rare.
SAMPLED_WINDOWS = 64
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class GroupOutline:
    """One country of a stage, or one group of another field.

    tokens: of its titles and bodies in the stage. drawn_tokens: of those that the stage takes.
    fraction: of all that it takes. epochs: how often its documents are seen.
    """

    name: str
    documents: int
    tokens: int
    drawn_tokens: int
    fraction: float
    epochs: float


@dataclass(frozen=True, slots=True)
class Outline:
    """What a stage draws itself, without what it replays.

    statistics, lengths: of its first packing window, from which epochs and fractions are estimated
    too; lengths are those of the segments of its sequences, padding included.

    by: the field of `groups`, by which the stage is sampled. others: by the run's groups, where
    they are not countries.
    """

    documents: int
    epochs: float
    statistics: Statistics
    lengths: np.ndarray
    countries: tuple[GroupOutline, ...]
    by: str
    groups: tuple[GroupOutline, ...]
    others: dict[str, tuple[GroupOutline, ...]]


def outline_stages(run: Run, split: Split, tokenizer: Tokenizer) -> dict[str, Outline]:
    """Documents, tokens and epochs of each stage; plans a window of each and no more.

    Raises `UserError` where settings do not fit the store.
    """
    draws = all_draws(run, split, tokenizer)
    return {name: _outline(run, split, tokenizer, name, draws[name]) for name in run.stages}


def _outline(run: Run, split: Split, tokenizer: Tokenizer, stage: str, draws: Draws) -> Outline:
    settings, samples = run.stages[stage], own_samples(run, stage)
    data = stage_run(run, stage).data
    composer = Composer(settings.metadata, tokenizer)
    planner = Planner(split, composer, draws, derive_key(run.seed, stage), data)
    counts = Counts()
    for number in range(SAMPLED_WINDOWS):
        window = planner.plan(number)
        counts += window.counts
        if counts.sequences:
            break
    documents, by = len(draws.documents), settings.sampling.by
    drawn = samples * counts.documents / counts.sequences
    axis = sampling_axis(split, settings.sampling, stage)
    groups = Groups.count(split, draws.documents, axis)
    epochs = draws.epochs(groups.documents, drawn)
    check_epochs(stage, settings.sampling, groups, epochs)
    each = _drawn_of_groups(groups, epochs)

    def drawn_of(field: str) -> tuple[GroupOutline, ...]:
        if field == by:
            return each
        of = axis_of(split, field, "groups")
        return _drawn_of_others(split, draws.documents, of, axis, epochs)

    return Outline(
        documents=documents,
        epochs=drawn / documents,
        statistics=Statistics.of(counts, documents, data.seq_length),
        lengths=_lengths(window, data.seq_length),
        countries=drawn_of("country"),
        by=by,
        groups=each,
        others={field: drawn_of(field) for field in run.groups if field != "country"},
    )


def _lengths(window: Window, seq_length: int) -> np.ndarray:
    """Lengths of the segments that attention stays inside, int64 [segments]."""
    positions = window.fragments["positions"].astype(np.int64)
    padding = seq_length - np.add.reduceat(positions, window.sequence_starts[:-1])
    return np.concatenate([positions, padding[padding > 0]])


def _drawn_of_groups(groups: Groups, epochs: np.ndarray) -> tuple[GroupOutline, ...]:
    return _named(groups.names, groups.documents, groups.tokens, groups.tokens * epochs, epochs)


def _drawn_of_others(
    split: Split, documents: np.ndarray, of: Axis, by: Axis, epochs: np.ndarray
) -> tuple[GroupOutline, ...]:
    """Groups of a field, where `epochs` are those of another's, [g]."""
    number, size = len(of), len(by)
    counts = np.zeros((2, number * size), dtype=np.int64)
    for first in range(0, len(documents), _CHUNK):
        chosen = documents[first : first + _CHUNK]
        place = of.of(split, chosen) * size + by.of(split, chosen)
        lengths = split.title_lengths[chosen] + split.body_lengths[chosen]
        counts[0] += np.bincount(place, minlength=number * size)
        counts[1] += np.bincount(place, lengths, minlength=number * size).astype(np.int64)
    by_group = counts.reshape(2, number, size)
    drawn_documents, drawn_tokens = by_group @ epochs
    documents_of, tokens_of = by_group.sum(axis=2)
    return _named(
        of.names,
        documents_of,
        tokens_of,
        drawn_tokens,
        drawn_documents / np.maximum(documents_of, 1),
    )


def _named(
    names: tuple[str, ...],
    documents: np.ndarray,
    tokens: np.ndarray,
    drawn: np.ndarray,
    epochs: np.ndarray,
) -> tuple[GroupOutline, ...]:
    """Those that have documents, as plain numbers."""
    columns = (
        documents.tolist(),
        tokens.tolist(),
        np.rint(drawn).astype(np.int64).tolist(),
        (drawn / max(drawn.sum(), 1)).tolist(),
        epochs.tolist(),
    )
    found = zip(names, *columns, strict=True)
    return tuple(GroupOutline(*values) for values in found if values[1])
