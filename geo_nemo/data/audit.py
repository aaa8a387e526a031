"""Checks the label contract on a stage's rows, against the store and not against the kinds alone.

1. The shape of each row: segments tile it, positions restart, labels are the next tokens.
2. What each segment holds: its document's metadata, then exactly its title, body piece and EOS as
   trained labels; under `mask_loss` nothing else is trained.
3. Over whole windows: every body token of every document is in exactly one piece.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.data.dataset import StageDataset, Statistics
from geo_nemo.data.dropout import fields_of
from geo_nemo.data.rows import NO_SEGMENT, NO_SOURCE, Row
from geo_nemo.data.window import Fragment, Window
from geo_nemo.metadata.record import Kind

KEPT_VIOLATIONS = 20


@dataclass(frozen=True)
class Violation:
    """A broken rule. sample: index of the row. position: in the row; -1 where it is not one."""

    rule: str
    sample: int
    position: int
    detail: str


@dataclass(frozen=True)
class CountryCount:
    """Fragments, filled positions and trained labels of one country in the checked rows."""

    fragments: int
    positions: int
    trained: int


@dataclass(frozen=True)
class StageAudit:
    """What was checked of a stage and found.

    statistics: of all windows. rows, windows: checked here, of `total_windows` in an epoch.
    masked_share: share of filled positions that are not trained, in the checked rows.
    broken: how often each rule was broken. violations: the first of them.
    """

    stage: str
    policy_hash: str
    statistics: Statistics
    rows: int
    windows: int
    total_windows: int
    masked_share: float
    by_country: dict[str, CountryCount]
    broken: dict[str, int]
    violations: tuple[Violation, ...]


def audit_stage(
    dataset: StageDataset, at_least_rows: int = 5000, progress: Progress = no_progress
) -> StageAudit:
    """Check whole windows from the first on, until `at_least_rows` rows are checked."""
    violations: list[Violation] = []
    broken: Counter[str] = Counter()
    tally = np.zeros((3, len(dataset.split.countries)), dtype=np.int64)
    seen = np.zeros(dataset.split.num_documents, dtype=bool)
    total = min(dataset.num_windows, dataset.windows_per_epoch)
    rows = windows = 0

    def found(new: Sequence[Violation]) -> None:
        broken.update(violation.rule for violation in new)
        violations.extend(new[: KEPT_VIOLATIONS - len(violations)])

    while windows < total and rows < at_least_rows:
        window = dataset.window(windows)
        found(check_window(dataset, window, seen, rows))
        for place in range(len(window)):
            fragments = window.row(place)
            row = dataset.build(fragments)
            found(check_row(dataset, row, fragments, rows))
            _count(tally, row)
            rows += 1
        windows += 1
        progress(f"audit {dataset.stage}", windows, total, f"{rows} rows")
    if windows == dataset.windows_per_epoch and seen.sum() != dataset.num_documents:
        detail = f"{seen.sum()} of {dataset.num_documents} documents in the epoch"
        found([Violation("every document once an epoch", 0, -1, detail)])
    fragments_of, positions_of, trained_of = tally.tolist()
    return StageAudit(
        stage=dataset.stage,
        policy_hash=dataset.policy.hash(),
        statistics=dataset.statistics(),
        rows=rows,
        windows=windows,
        total_windows=total,
        masked_share=1 - sum(trained_of) / sum(positions_of),
        by_country={
            country: CountryCount(fragments_of[i], positions_of[i], trained_of[i])
            for i, country in enumerate(dataset.split.countries)
            if fragments_of[i]
        },
        broken=dict(broken),
        violations=tuple(violations),
    )


def check_window(
    dataset: StageDataset, window: Window, seen: np.ndarray, first_sample: int = 0
) -> list[Violation]:
    """Each body token of the window's documents is in exactly one piece, each title shown once.

    seen: bool [documents of the split], those of the epoch's windows before; updated.
    """
    pieces: dict[int, list[Fragment]] = {}
    for place in range(len(window)):
        for fragment in window.row(place):
            pieces.setdefault(fragment.document, []).append(fragment)
    wrong = []
    for document, fragments in pieces.items():
        fragments.sort(key=lambda fragment: (fragment.start, fragment.stop))
        stops = [fragment.stop for fragment in fragments]
        joined = [fragment.start for fragment in fragments] == [0, *stops[:-1]]
        whole = stops[-1] == dataset.split.body_lengths[document]
        ends = [fragment.final for fragment in fragments] == [False] * (len(stops) - 1) + [True]
        titled = any(fragment.title for fragment in fragments[1:])
        if not (joined and whole and ends) or titled:
            spans = [(fragment.start, fragment.stop) for fragment in fragments]
            detail = f"document {document} is in pieces {spans}"
            wrong.append(Violation("every token once", first_sample, -1, detail))
        if seen[document]:
            detail = f"document {document} was in an earlier window"
            wrong.append(Violation("every document once an epoch", first_sample, -1, detail))
        seen[document] = True
    if len(pieces) != window.counts.documents:
        detail = f"{len(pieces)} of {window.counts.documents} documents in the window"
        wrong.append(Violation("every document once an epoch", first_sample, -1, detail))
    return wrong


def check_row(
    dataset: StageDataset, row: Row, fragments: Sequence[Fragment], sample: int
) -> list[Violation]:
    """The rules of one row that holds `fragments`."""
    wrong = [
        Violation(rule, sample, int(places[0]), f"{len(places)} positions")
        for rule, places in _shape_rules(dataset, row, len(fragments))
        if len(places)
    ]
    # Without whole segments the content of one cannot be told from the next one's.
    if not wrong:
        for place, fragment in enumerate(fragments):
            start, stop = row.cu_seqlens[place : place + 2].tolist()
            for rule, detail in _content_rules(dataset, row, fragment, start, stop):
                detail = f"document {fragment.document}: {detail}"
                wrong.append(Violation(rule, sample, start, detail))
    return wrong


def _shape_rules(dataset: StageDataset, row: Row, num_fragments: int):
    """(rule, positions where it is broken) for each rule that needs no document."""
    tokenizer, length = dataset.tokenizer, dataset.data.seq_length
    borders = row.cu_seqlens
    sizes = np.diff(borders)
    tiles = borders[0] == 0 and borders[-1] == length and (sizes > 0).all()
    if not tiles or row.max_seqlen != sizes.max() or len(row.tokens) != length:
        yield "segments tile the row", np.array([0])
        return
    segment = np.repeat(np.arange(len(sizes)), sizes)
    padding = segment >= num_fragments
    trained = row.loss_mask == 1
    starts = np.zeros(length, dtype=bool)
    starts[borders[:-1]] = True
    first = starts & ~padding
    inside = ~starts[1:]

    yield (
        "segments tile the row",
        np.flatnonzero(row.segment_ids != np.where(padding, NO_SEGMENT, segment)),
    )
    yield "at most one padding segment", np.flatnonzero(segment > num_fragments)
    yield (
        "positions restart in each segment",
        np.flatnonzero(row.position_ids != np.arange(length) - borders[:-1][segment]),
    )
    yield (
        "a label is the next token",
        np.flatnonzero((row.labels[:-1] != row.tokens[1:]) & inside & ~padding[:-1]),
    )
    yield "a document starts with BOS", np.flatnonzero(first & (row.tokens != tokenizer.bos_id))
    yield "mask is 0 or 1", np.flatnonzero((row.loss_mask != 0) & ~trained)
    never = [Kind.PAD, Kind.BOS]
    if dataset.policy.mask_loss:
        never += [Kind.METADATA, Kind.LABEL]
    yield (
        "no metadata, label, BOS or padding is trained",
        np.flatnonzero(trained & (np.isin(row.label_kinds, never) | padding)),
    )
    if tokenizer.bos_id not in (tokenizer.eos_id, tokenizer.pad_id):
        yield "BOS is never a label", np.flatnonzero(row.labels == tokenizer.bos_id)
    yield "padding has no source", np.flatnonzero(padding != (row.source_ids == NO_SOURCE))
    yield "padding is padding", np.flatnonzero(padding & (row.tokens != tokenizer.pad_id))


def _content_rules(dataset: StageDataset, row: Row, fragment: Fragment, start: int, stop: int):
    """(rule, detail) for each rule that a segment breaks when it is compared with the store."""
    split, composer, policy = dataset.split, dataset.composer, dataset.policy
    document = fragment.document
    title = split.title(document)[: fragment.title]
    body = split.body(document)[fragment.start : fragment.stop]
    block = composer.prefix_ids(split.record(document), fields_of(policy, fragment.kept))
    labels = row.labels[start:stop]
    trained = row.loss_mask[start:stop] == 1
    eos = [dataset.tokenizer.eos_id] if fragment.final else []

    if not (row.source_ids[start:stop] == split.country[document]).all():
        yield "source is the document's country", f"country {split.country[document]}"
    append = policy.position == "append"
    behind = block if append and fragment.final else block[:0]
    if not append and not np.array_equal(labels[: len(block)], block):
        yield "metadata is the document's", f"{len(block)} tokens expected in front"
    after_text = len(labels) - len(eos)
    if not np.array_equal(labels[after_text - len(behind) : after_text], behind):
        yield "metadata is the document's", f"{len(behind)} tokens expected behind the text"
    if len(body) and not trained[after_text - len(behind) - len(body)]:
        yield "the first body token is trained", f"body of {len(body)} tokens"
    text = np.concatenate([title, body, eos])
    context = np.isin(row.label_kinds[start:stop], [Kind.METADATA, Kind.LABEL])
    # Where context is trained too, only the kinds tell it from the text.
    chosen = trained if policy.mask_loss else trained & ~context
    if not np.array_equal(labels[chosen], text):
        yield "trained text is the store's", f"{chosen.sum()} labels, {len(text)} expected"
    expected = len(text) if policy.mask_loss else len(labels)
    if trained.sum() != expected:
        yield "nothing else is trained", f"{trained.sum()} labels, {expected} expected"


def _count(tally: np.ndarray, row: Row) -> None:
    """Add a row's fragments, positions and trained labels by country."""
    size = tally.shape[1]
    filled = row.source_ids >= 0
    sources = row.source_ids[filled]
    tally[0] += np.bincount(sources[row.position_ids[filled] == 0], minlength=size)
    tally[1] += np.bincount(sources, minlength=size)
    tally[2] += np.bincount(sources[row.loss_mask[filled] == 1], minlength=size)
