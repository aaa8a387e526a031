"""The ids of each model, and which of them are scored: the same text for all models."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from eval.conditions import view
from eval.config import EvalConfig
from eval.corpus import CorpusTokens
from eval.documents import (
    Documents,
    longer_bare,
    longest_overhead,
    scored_bytes,
    scored_spans,
    scored_texts,
    shared,
)
from eval.shown import Shown
from eval.texts import Texts, Tokens
from geo_nemo.config import UserError
from geo_nemo.metadata.compose import Composer


def scored_documents(
    config: EvalConfig,
    texts: Texts,
    composers: Mapping[str, Composer],
    chosen: np.ndarray,
    shown: Shown,
    seq_length: int,
) -> tuple[dict[str, Tokens], dict[str, Documents]]:
    """Ids and scored documents of each model; the same objects for models of one tokenizer.

    Raises `UserError` where policies make other tokens of a text under one tokenizer.
    """
    pairs: dict[str, list] = {}
    for composer in distinct(composers):
        mine = pairs.setdefault(composer.tokenizer.sha256, [])
        mine += [
            (view(condition, composer), shown.record_of(condition, composer))
            for condition in config.document_conditions
        ]
    if config.corpus is None:
        ids = dict.fromkeys(pairs, texts.items)
        sizes = None
    else:

        def budget(mine: list):
            def most(place: int, title: np.ndarray, body: np.ndarray) -> int:
                index = int(chosen[place])
                added = longest_overhead(index, title, mine)
                # What bare text has more is cut here, at a space, and so of every model's text.
                text = CorpusTokens(texts.items.name, {index: (title, body)}, frozenset())
                room = seq_length + 1 - added - longer_bare(text, index, mine)
                return max(0, room if config.max_tokens is None else min(room, config.max_tokens))

            return most

        by_hash = {c.tokenizer.sha256: c.tokenizer for c in composers.values()}
        found, sizes = texts.tokens(
            chosen, [by_hash[key] for key in pairs], [budget(mine) for mine in pairs.values()]
        )
        ids = dict(zip(pairs, found, strict=True))
    _check_same_tokens(composers, ids, chosen)
    scored = {
        key: scored_spans(
            ids[key], np.asarray(texts.items.country), chosen, mine, seq_length, config.max_tokens
        )
        for key, mine in pairs.items()
    }
    if sizes is None:
        tokenizer = next(iter(composers.values())).tokenizer
        scored = {
            key: scored_bytes(documents, texts.items, pairs[key][0][0], tokenizer)
            for key, documents in scored.items()
        }
    else:
        scored = {
            key: _with_sizes(documents, sizes, chosen, ids[key].whole)
            for key, documents in shared(scored).items()
        }
    key_of = {name: composer.tokenizer.sha256 for name, composer in composers.items()}
    return (
        {name: ids[key] for name, key in key_of.items()},
        {name: scored[key] for name, key in key_of.items()},
    )


def _check_same_tokens(
    composers: Mapping[str, Composer], ids: Mapping[str, Tokens], chosen: np.ndarray
) -> None:
    """Raise `UserError` where two runs' policies cut a text's words into other tokens."""
    firsts: dict[str, str] = {}
    for name, composer in composers.items():
        key = composer.tokenizer.sha256
        other = firsts.setdefault(key, name)
        first = composers[other]
        mine, theirs = composer.policy, first.policy
        # Most policies are alike here, or have the tokens that are stored: nothing is to compare.
        if (mine.is_whole, mine.position) == (theirs.is_whole, theirs.position):
            continue
        if (composer.reads_texts or first.reads_texts) and any(
            not np.array_equal(one, another)
            for index in chosen.tolist()
            for one, another in zip(
                scored_texts(ids[key], index, composer), scored_texts(ids[key], index, first),
                strict=True,
            )
        ):  # fmt: skip
            setting = "cut" if mine.is_whole != theirs.is_whole else "position"
            raise UserError(
                f"runs.{name} was trained with metadata.{setting}={getattr(mine, setting)} and "
                f"runs.{other} with {getattr(theirs, setting)}, which gives some words other "
                "tokens: evaluate them one by one, or give metadata="
            )


def _with_sizes(
    documents: Documents, sizes: np.ndarray, chosen: np.ndarray, whole: frozenset[int]
) -> Documents:
    mine = sizes[np.searchsorted(chosen, documents.index)]
    uncut = np.array([index in whole for index in documents.index.tolist()], dtype=bool)
    return replace(
        documents, title_bytes=mine[:, 0], body_bytes=mine[:, 1], whole=documents.whole & uncut
    )


def distinct(composers: Mapping[str, Composer]) -> list[Composer]:
    """One composer a policy and tokenizer: models with the same ones compose the same."""
    keys = {(c.policy.hash(), c.tokenizer.sha256): c for c in composers.values()}
    return list(keys.values())
