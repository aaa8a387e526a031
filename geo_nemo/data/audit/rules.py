"""The label contract of one sequence, checked against the store and not against the kinds alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.dropout import fields_of
from geo_nemo.data.fragments import Fragment
from geo_nemo.data.placebo import told
from geo_nemo.data.sequences import NO_GROUP, PackedSequence, kind_weights
from geo_nemo.metadata.record import Kind, MetadataRecord


@dataclass(frozen=True)
class Violation:
    """A broken rule. sample: index of the sequence. position: in it; -1 where it is not one."""

    rule: str
    sample: int
    position: int
    detail: str


def check_sequence(
    dataset: StageDataset, sequence: PackedSequence, fragments: Sequence[Fragment], sample: int
) -> list[Violation]:
    """The rules of one sequence that holds `fragments`."""
    left_out = np.zeros(0, np.int64)
    if dataset.selection is not None:
        sequence, left_out = _with_all_tokens(dataset, sequence, fragments)
    rules = [("a token of the selection is trained, another not", left_out)]
    wrong = [
        Violation(rule, sample, int(places[0]), f"{len(places)} positions")
        for rule, places in [*rules, *_shape_rules(dataset, sequence, fragments)]
        if len(places)
    ]
    # Without whole segments the content of one cannot be told from the next one's.
    if not wrong:
        for place, fragment in enumerate(fragments):
            start, stop = sequence.cu_seqlens[place : place + 2].tolist()
            for rule, detail in _content_rules(dataset, sequence, fragment, start, stop):
                detail = f"document {fragment.document}: {detail}"
                wrong.append(Violation(rule, sample, start, detail))
    return wrong


def _with_all_tokens(
    dataset: StageDataset, sequence: PackedSequence, fragments: Sequence[Fragment]
) -> tuple[PackedSequence, np.ndarray]:
    """The sequence as if all tokens were selected, and the positions where its own are not."""
    assert dataset.selection is not None
    weights = kind_weights(dataset.policy.mask_loss, dataset.policy.loss_weights)
    whole = weights[sequence.label_kinds]
    selected_of = partial(dataset.composing.selected, selection=dataset.selection)
    selected = np.concatenate(list(map(selected_of, fragments)))
    expected = whole.copy()
    expected[: len(selected)] *= selected
    wrong = np.flatnonzero(sequence.loss_mask != expected)
    return replace(sequence, loss_mask=whole), wrong


def _shape_rules(
    dataset: StageDataset, sequence: PackedSequence, fragments: Sequence[Fragment]
) -> Iterator[tuple[str, np.ndarray]]:
    """(rule, positions where it is broken) for each rule that needs no document."""
    num_fragments = len(fragments)
    tokenizer, length = dataset.tokenizer, dataset.data.seq_length
    borders = sequence.cu_seqlens
    sizes = np.diff(borders)
    tiles = borders[0] == 0 and borders[-1] == length and (sizes > 0).all()
    if not tiles or sequence.max_seqlen != sizes.max() or len(sequence.tokens) != length:
        yield "segments tile the sequence", np.array([0])
        return
    segment = np.repeat(np.arange(len(sizes)), sizes)
    padding = segment >= num_fragments
    trained = sequence.loss_mask > 0
    weights = kind_weights(dataset.policy.mask_loss, dataset.policy.loss_weights)
    starts = np.zeros(length, dtype=bool)
    starts[borders[:-1]] = True
    first = starts & ~padding
    inside = ~starts[1:]

    yield "at most one padding segment", np.flatnonzero(segment > num_fragments)
    yield (
        "positions restart in each segment",
        np.flatnonzero(sequence.position_ids != np.arange(length) - borders[:-1][segment]),
    )
    yield (
        "a label is the next token",
        np.flatnonzero((sequence.labels[:-1] != sequence.tokens[1:]) & inside & ~padding[:-1]),
    )
    goes_on = [fragment.bare and fragment.start > 0 for fragment in fragments]
    first[borders[:num_fragments][goes_on]] = False
    yield (
        "a document starts with BOS",
        np.flatnonzero(first & (sequence.tokens != tokenizer.bos_id)),
    )
    usual = np.where(weights > 0, weights, 1)[sequence.label_kinds]
    yield (
        "a weight is 0 or the policy's",
        np.flatnonzero((sequence.loss_mask != 0) & (sequence.loss_mask != usual)),
    )
    never = [kind for kind in (Kind.PAD, Kind.BOS, Kind.METADATA, Kind.LABEL) if not weights[kind]]
    yield (
        "no metadata, label, BOS or padding is trained",
        np.flatnonzero(trained & (np.isin(sequence.label_kinds, never) | padding)),
    )
    if tokenizer.bos_id not in (tokenizer.eos_id, tokenizer.pad_id):
        yield "BOS is never a label", np.flatnonzero(sequence.labels == tokenizer.bos_id)
    yield "padding has no group", np.flatnonzero(padding != (sequence.group_ids == NO_GROUP))
    yield "padding is padding", np.flatnonzero(padding & (sequence.tokens != tokenizer.pad_id))


def _content_rules(
    dataset: StageDataset, sequence: PackedSequence, fragment: Fragment, start: int, stop: int
) -> Iterator[tuple[str, str]]:
    """(rule, detail) for each rule that a segment breaks when it is compared with the store."""
    split, composer, policy = dataset.split, dataset.composing.composer_of(fragment), dataset.policy
    document = fragment.document
    if fragment.bare:
        yield from _bare_rules(dataset, sequence, fragment, start, stop)
        return
    block = composer.prefix_ids(
        _record(dataset, document), fields_of(composer.policy, fragment.kept)
    )
    title, body = composer.texts(split.title(document), split.body(document), len(block) > 0)
    title, body = title[: fragment.title], body[fragment.start : fragment.stop]
    labels = sequence.labels[start:stop]
    weights = dataset.policy.weights
    trained = sequence.loss_mask[start:stop] > 0
    eos = np.array([dataset.tokenizer.eos_id] * fragment.final, np.int64)

    yield from _group_rule(dataset, sequence, document, start, stop)
    append = policy.position == "append"
    behind = block if append and fragment.final else block[:0]
    meta = composer.meta_ids
    if not np.array_equal(labels[: len(meta)], meta):
        yield "meta-tokens stand in front", f"{len(meta)} tokens expected"
    if not append and not np.array_equal(labels[len(meta) :][: len(block)], block):
        yield "metadata is the document's", f"{len(block)} tokens expected in front"
    after_text = len(labels) - len(eos)
    if not np.array_equal(labels[after_text - len(behind) : after_text], behind):
        yield "metadata is the document's", f"{len(behind)} tokens expected behind the text"
    if len(body) and weights["body"] and not trained[after_text - len(behind) - len(body)]:
        yield "the first body token is trained", f"body of {len(body)} tokens"
    parts = {"title": title, "body": body, "end": eos}
    text = np.concatenate([part for name, part in parts.items() if weights[name]] or [eos[:0]])
    kinds = sequence.label_kinds[start:stop]
    # Where context is trained too, only the kinds tell it from the text.
    chosen = trained & ~np.isin(kinds, [Kind.METADATA, Kind.LABEL])
    if not np.array_equal(labels[chosen], text):
        yield "trained text is the store's", f"{chosen.sum()} labels, {len(text)} expected"
    # Beside metadata that are a target, meta-tokens count as labels.
    metadata = len(behind) if append else len(meta) + len(block)
    label = len(labels) - len(title) - len(body) - len(eos) - metadata
    expected = len(text) + metadata * (weights["metadata"] > 0) + label * (weights["label"] > 0)
    if trained.sum() != expected:
        yield "nothing else is trained", f"{trained.sum()} labels, {expected} expected"


def _record(dataset: StageDataset, document: int) -> MetadataRecord:
    """What the document is told, from the store: its own metadata, or those of its donor."""
    return told(dataset.split, dataset.policy).record(document)


def _group_rule(
    dataset: StageDataset, sequence: PackedSequence, document: int, start: int, stop: int
) -> Iterator[tuple[str, str]]:
    """From the store's columns, whatever stands in the index."""
    (group,) = dataset.groups.of(dataset.split, np.array([document])).tolist()
    if not (sequence.group_ids[start:stop] == group).all():
        yield "group is that of the document", f"group {dataset.groups.names[group]}"


def _bare_rules(
    dataset: StageDataset, sequence: PackedSequence, fragment: Fragment, start: int, stop: int
) -> Iterator[tuple[str, str]]:
    """The same for a plain piece, which is compared with the whole document token by token."""
    ids, kinds = whole_document(dataset, fragment)
    labels = slice(fragment.start + 1, fragment.stop + 1)
    yield from _group_rule(dataset, sequence, fragment.document, start, stop)
    if not np.array_equal(sequence.tokens[start:stop], ids[fragment.start : fragment.stop]):
        yield "a bare piece is the document's", f"tokens {fragment.start} to {fragment.stop}"
    if not np.array_equal(sequence.labels[start:stop], ids[labels]):
        yield "trained text is the store's", f"labels {fragment.start} to {fragment.stop}"
    expected = kind_weights(dataset.policy.mask_loss, dataset.policy.loss_weights)[kinds[labels]]
    if not np.array_equal(sequence.loss_mask[start:stop], expected):
        yield "nothing else is trained", f"{(expected > 0).sum()} labels expected"


def whole_document(dataset: StageDataset, fragment: Fragment) -> tuple[np.ndarray, np.ndarray]:
    """All tokens of the document of a bare piece, and the `Kind` of each, from the store."""
    split, tokenizer = dataset.split, dataset.tokenizer
    composer = dataset.composing.composer_of(fragment)
    document = fragment.document
    block = composer.prefix_ids(
        _record(dataset, document), fields_of(composer.policy, fragment.kept)
    )
    append = dataset.policy.position == "append"
    opened = len(block) > 0
    title, body = composer.texts(split.title(document), split.body(document), opened)
    titled = len(title) > 0
    parts: list[tuple[Sequence[int] | np.ndarray, Kind]] = [
        ([tokenizer.bos_id], Kind.BOS),
        (composer.meta_ids, Kind.LABEL if append else Kind.METADATA),
        ([] if append else block, Kind.METADATA),
        (composer.title_label(opened) if titled else [], Kind.LABEL),
        (title, Kind.TITLE),
        (composer.content_label(opened, titled), Kind.LABEL),
        (body, Kind.BODY),
        (block if append else [], Kind.METADATA),
        ([tokenizer.eos_id], Kind.EOS),
    ]
    ids = np.concatenate([np.asarray(part, dtype=np.int64) for part, _ in parts])
    return ids, np.repeat([kind for _, kind in parts], [len(part) for part, _ in parts])
