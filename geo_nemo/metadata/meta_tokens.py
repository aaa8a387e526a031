"""Learnable meta-tokens: rows of a model's vocabulary that no text has, in front of each document.

Their ids follow the tokenizer's own; the tokenizer itself, its hash and the store know nothing of
them. An export's tokenizer has them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config import Run

if TYPE_CHECKING:
    from geo_nemo.tokenizers.base import Tokenizer


def meta_ids(count: int, tokenizer: Tokenizer) -> np.ndarray:
    """Ids of the first `count` meta-tokens, int32 [count], read-only."""
    ids = np.arange(tokenizer.vocab_size, tokenizer.vocab_size + count, dtype=np.int32)
    ids.flags.writeable = False
    return ids


def meta_names(count: int) -> list[str]:
    """How an export calls the first `count` of them."""
    return [f"<|meta_{number}|>" for number in range(count)]


def vocab_size_of(run: Run, tokenizer: Tokenizer) -> int:
    """Rows of a run's vocabulary: those of the tokenizer, and its meta-tokens."""
    return tokenizer.vocab_size + run.meta_tokens


def pieces_of(ids: Sequence[int], tokenizer: Tokenizer) -> list[str]:
    """One readable piece per id, meta-tokens by their name."""
    own = [each for each in ids if each < tokenizer.vocab_size]
    pieces = iter(tokenizer.pieces(own))
    return [
        next(pieces) if each < tokenizer.vocab_size else f"<|meta_{each - tokenizer.vocab_size}|>"
        for each in ids
    ]
