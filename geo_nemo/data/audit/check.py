"""Checks the label contract on a stage's sequences, against the store and not against the kinds
alone.

1. The shape of each sequence: segments tile it, positions restart, labels are the next tokens.
2. What each segment holds: its document's metadata, then exactly its title, body piece and EOS as
   labels of the weights that the policy gives; under `mask_loss` nothing else is trained.
3. Over whole windows: every token of every drawn document is in exactly one piece, no document
   is drawn again before its group's epoch is over, and the index holds what was planned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.data.audit.rules import Violation, check_sequence, whole_document
from geo_nemo.data.dataset import StageDataset, Statistics
from geo_nemo.data.fragments import Fragment
from geo_nemo.data.index.read import Index
from geo_nemo.data.replay import ReplayIndex
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.data.window import Window

KEPT_VIOLATIONS = 20


@dataclass(frozen=True)
class GroupCount:
    """Fragments, filled positions and trained labels of one group in the checked sequences."""

    fragments: int
    positions: int
    trained: int


@dataclass(frozen=True)
class StageAudit:
    """What was checked of a stage and found.

    statistics: of the windows in the dataset's index. sequences, windows: checked here, of
    `total_windows` in an epoch; None where groups have epochs of their own.
    masked_fraction: fraction of filled positions that are not trained, in the checked sequences.
    by: fields of the groups. broken: how often each rule was broken. violations: the first of them.
    """

    stage: str
    policy_hash: str
    statistics: Statistics
    sequences: int
    windows: int
    total_windows: int | None
    masked_fraction: float
    by: tuple[str, ...]
    by_group: dict[str, GroupCount]
    broken: dict[str, int]
    violations: tuple[Violation, ...]


def audit_stage(
    dataset: StageDataset, at_least_sequences: int = 5000, progress: Progress = no_progress
) -> StageAudit:
    """Check whole windows from the first on, until `at_least_sequences` sequences are checked."""
    violations: list[Violation] = []
    broken: Counter[str] = Counter()
    tally = np.zeros((3, dataset.groups.size), dtype=np.int64)
    seen = np.zeros(dataset.split.num_documents, dtype=np.int32)
    # What a stage replays is audited where it was read first.
    index = dataset.index.own if isinstance(dataset.index, ReplayIndex) else dataset.index
    per_epoch, total = dataset.draws.windows_per_epoch, index.num_windows
    sequences = windows = 0

    def found(new: Sequence[Violation]) -> None:
        broken.update(violation.rule for violation in new)
        violations.extend(new[: KEPT_VIOLATIONS - len(violations)])

    while windows < total and sequences < at_least_sequences:
        window = dataset.planner.plan(windows)
        found(check_window(dataset, window, seen, sequences))
        found(_check_index(index, window, windows))
        for place in range(len(window)):
            fragments = window.sequence(place)
            sequence = dataset.build(fragments)
            found(check_sequence(dataset, sequence, fragments, sequences))
            _count(tally, sequence)
            sequences += 1
        windows += 1
        progress(f"audit {dataset.stage}", windows, total, f"{sequences} sequences")
        if windows == per_epoch and seen.sum() != dataset.num_documents:
            detail = f"{seen.sum()} of {dataset.num_documents} documents in the epoch"
            found([Violation("every document once an epoch", 0, -1, detail)])
    fragments_of, positions_of, trained_of = tally.tolist()
    return StageAudit(
        stage=dataset.stage,
        policy_hash=dataset.policy.hash(),
        statistics=dataset.statistics(),
        sequences=sequences,
        windows=windows,
        total_windows=per_epoch,
        masked_fraction=1 - sum(trained_of) / sum(positions_of),
        by=dataset.groups.fields,
        by_group={
            group: GroupCount(fragments_of[i], positions_of[i], trained_of[i])
            for i, group in enumerate(dataset.groups.names)
            if fragments_of[i]
        },
        broken=dict(broken),
        violations=tuple(violations),
    )


def check_window(
    dataset: StageDataset, window: Window, seen: np.ndarray, first_sample: int = 0
) -> list[Violation]:
    """Each token of the window's documents is in exactly one piece, each title shown once.

    seen: int32 [documents of the split], how often each was in the windows before; updated.
    """
    pieces: dict[int, list[Fragment]] = {}
    for place in range(len(window)):
        draws = window.draws[window.span(place)].tolist()
        for draw, fragment in zip(draws, window.sequence(place), strict=True):
            pieces.setdefault(draw, []).append(fragment)
    wrong = []
    # A window may hold the end of an epoch and the start of the next.
    for draw in sorted(pieces, key=lambda draw: int(window.drawn.epochs[draw])):
        fragments = pieces[draw]
        document, epoch = (int(x[draw]) for x in (window.drawn.documents, window.drawn.epochs))
        if not _tiled(dataset, document, fragments):
            spans = sorted((fragment.start, fragment.stop) for fragment in fragments)
            detail = f"document {document} is in pieces {spans}"
            wrong.append(Violation("every token once", first_sample, -1, detail))
        if seen[document] != epoch:
            detail = f"document {document}: drawn {seen[document]} times, and this is epoch {epoch}"
            wrong.append(Violation("every document once an epoch", first_sample, -1, detail))
        seen[document] += 1
    if len(pieces) != window.counts.documents:
        detail = f"{len(pieces)} of {window.counts.documents} documents in the window"
        wrong.append(Violation("every document once an epoch", first_sample, -1, detail))
    return wrong


def _tiled(dataset: StageDataset, document: int, fragments: list[Fragment]) -> bool:
    """Whether the fragments are the whole of one document, each part once."""
    split = dataset.split
    fragments.sort(key=lambda fragment: (fragment.start, fragment.stop))
    stops = [fragment.stop for fragment in fragments]
    joined = [fragment.start for fragment in fragments] == [0, *stops[:-1]]
    ends = [fragment.final for fragment in fragments] == [False] * (len(stops) - 1) + [True]
    titled = any(fragment.title for fragment in fragments[1:])
    if any(fragment.bare for fragment in fragments):
        whole = stops[-1] == len(whole_document(dataset, fragments[0])[0]) - 1
        return joined and whole and ends and all(fragment.bare for fragment in fragments)
    composer = dataset.composing.composer_of(fragments[0])
    if composer.reads_texts:
        opened = any(fragment.metadata for fragment in fragments)
        body = composer.splice(split.title(document), split.body(document), opened)[1]
        length = len(body)
    else:
        length = split.body_lengths[document]
    return joined and stops[-1] == length and ends and not titled


def _check_index(index: Index, window: Window, number: int) -> list[Violation]:
    sequences = index.window_sequences(number)
    same = len(sequences) == len(window) and all(
        index.sequence(sequence) == window.sequence(place)
        for place, sequence in enumerate(sequences)
    )
    if same:
        return []
    return [Violation("the index holds the plan", sequences.start, -1, f"window {number}")]


def _count(tally: np.ndarray, sequence: PackedSequence) -> None:
    """Add a sequence's fragments, positions and trained labels by group."""
    size = tally.shape[1]
    filled = sequence.group_ids >= 0
    groups = sequence.group_ids[filled]
    tally[0] += np.bincount(groups[sequence.position_ids[filled] == 0], minlength=size)
    tally[1] += np.bincount(groups, minlength=size)
    tally[2] += np.bincount(groups[sequence.loss_mask[filled] > 0], minlength=size)
