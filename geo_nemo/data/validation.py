"""Sequences of validation documents under three conditions: told the truth, nothing, something
wrong.

Each document is cut to what fits under every condition, so that all score the same tokens of
title and body.
"""

from collections.abc import Sequence

import numpy as np

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data.conditions import WITH, WITHOUT, WRONG, donors, told_codes, told_values
from geo_nemo.data.counter import derive_key, hash64
from geo_nemo.data.groups import Grouping, by_country
from geo_nemo.data.sequences import PackedSequence, build_sequence
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store.split import Split
from geo_nemo.tokenizers.base import Tokenizer


def choose_documents(split: Split, count: int, seed: int) -> np.ndarray:
    """At most `count` documents, in a drawn order; int64 [n]. The same for the same seed."""
    draws = hash64(derive_key(seed, "validation"), np.arange(len(split)))
    return np.argsort(draws, kind="stable")[:count]


def validation_sequences(
    split: Split,
    documents: np.ndarray,
    policy: MetadataPolicy,
    tokenizer: Tokenizer,
    seq_length: int,
    seed: int,
    groups: Grouping | None = None,
) -> dict[str, list[PackedSequence]]:
    """Sequences by condition; where `policy` has no fields, of `without` alone.

    policy: what the conditions `with` and `wrong` tell, before the text wherever training has it.
    groups: of `group_ids`; by country where it is None.
    """
    composer = Composer(policy.model_copy(update={"position": "prepend"}), tokenizer)
    records = [split.record(i) for i in documents]
    conditions: dict[str, Sequence[MetadataRecord | None]] = {WITHOUT: [None] * len(records)}
    if policy.fields:
        items = composer.lines, len(records), records.__getitem__
        try:
            wrong = donors(WRONG, told_codes(*items), seed, "documents", [told_values(*items)])
        except UserError as error:
            raise UserError(
                f"validation.every_steps: {error}; take more documents, or set it to null"
            ) from None
        assert wrong is not None  # of the condition that tells nothing alone
        conditions = {WITH: records, **conditions, WRONG: [records[i] for i in wrong]}
    longest = [
        max(len(composer.prefix_ids(of_condition[i])) for of_condition in conditions.values())
        for i in range(len(records))
    ]
    group_ids = (groups or by_country(split)).of(split, documents).tolist()
    sequences = {}
    for condition, known in conditions.items():
        fragments = [
            _document(composer, split, int(document), known[i], seq_length - longest[i])
            for i, document in enumerate(documents)
        ]
        sequences[condition] = _sequences(fragments, group_ids, seq_length, tokenizer.pad_id)
    return sequences


def _document(
    composer: Composer, split: Split, document: int, record: MetadataRecord | None, room: int
) -> Composed:
    """A document whose title, body and labels take at most `room` tokens, BOS and EOS included."""
    # As if metadata stood in front, also where none does, so that the tokens are the same.
    title, body = composer.texts(split.title(document), split.body(document))
    content = len(composer.content_label()) + len(composer.meta_ids)
    fixed = 2 + content + (len(composer.title_label()) if len(title) else 0)
    if fixed + len(title) >= room:
        title = title[:0]
        fixed = 2 + content
    left = max(room - fixed - len(title), 0)
    block = composer.prefix_ids(record)
    return composer.join(block, title, body[:left], final=len(body) <= left)


def _sequences(
    fragments: list[Composed], group_ids: list[int], length: int, pad_id: int
) -> list[PackedSequence]:
    """Fragments in order, as many to a sequence as fit."""
    sequences: list[PackedSequence] = []
    held: list[Composed] = []
    held_groups: list[int] = []
    used = 0
    for fragment, group in zip(fragments, group_ids, strict=True):
        size = len(fragment.ids) - 1
        if held and used + size > length:
            sequences.append(build_sequence(held, held_groups, length, pad_id, mask_loss=True))
            held, held_groups, used = [], [], 0
        held.append(fragment)
        held_groups.append(group)
        used += size
    if held:
        sequences.append(build_sequence(held, held_groups, length, pad_id, mask_loss=True))
    return sequences
