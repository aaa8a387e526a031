"""Text to ids in arrays, on one core, as fast as it goes; always the reference tokenizer's ids.

A tokenizer may say what has its ids sooner (`flat_encoder`): fastokens for Hugging Face's and
tiktoken's, each word once for sentencepiece's BPE. Where that cannot be had, or differs on texts
that are known to be hard, the tokenizer itself does it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from data_prep.tokenise.shard_writer import Tokens
from data_prep.tokenise.store_writer import flat_tokens
from geo_nemo.common.errors import RunError
from geo_nemo.store.manifest import token_dtype
from geo_nemo.tokenizers.base import FlatEncoder, Tokenizer
from geo_nemo.tokenizers.hard_texts import HARD_TEXTS


class Encoder(Protocol):
    """Encodes many texts at once. `name` says what does it."""

    name: str

    def encode(self, texts: list[str]) -> Tokens:
        """Ids of all texts, in the narrowest type that holds the vocabulary."""
        ...


@dataclass(frozen=True)
class Choice:
    """An encoder, the reference it must equal, and why it is the reference, where it is."""

    encoder: Encoder
    reference: Encoder
    reason: str = ""


class ReferenceEncoder:
    """The tokenizer's own library."""

    def __init__(self, tokenizer: Tokenizer):
        self.name = tokenizer.library
        self._tokenizer = tokenizer
        self._dtype = token_dtype(tokenizer.vocab_size)

    def encode(self, texts: list[str]) -> Tokens:
        return flat_tokens(self._tokenizer.encode_here(texts), self._dtype)


class QuickEncoder:
    """What a tokenizer has beside its library; `reference` does what it refuses."""

    def __init__(self, encoder: FlatEncoder, tokenizer: Tokenizer, reference: Encoder):
        self.name = encoder.name
        self._encoder, self._reference = encoder, reference
        self._dtype = token_dtype(tokenizer.vocab_size)

    def encode(self, texts: list[str]) -> Tokens:
        try:
            ids, lengths = self._encoder.encode(texts)
        except RunError:  # of a tokenizer from outside, which is named in it
            raise
        except Exception:  # a limit of its regular expressions, which the reference has not
            return self._reference.encode(texts)
        return Tokens(ids.astype(self._dtype, copy=False), lengths)


def choose_encoder(path: Path, tokenizer: Tokenizer, reference_only: bool = False) -> Choice:
    """The fastest encoder for the tokenizer in `path` that has the reference's ids."""
    one_core_a_process()
    reference = ReferenceEncoder(tokenizer)
    if reference_only:
        return Choice(reference, reference, "the ids of a faster one differed on a document")
    quick = tokenizer.flat_encoder(path)
    if isinstance(quick, str):
        return Choice(reference, reference, quick)
    encoder = QuickEncoder(quick, tokenizer, reference)
    at = first_difference(encoder, reference, list(HARD_TEXTS))
    if at is not None:
        reason = f"{encoder.name} has other ids for {HARD_TEXTS[at]!r}"
        return Choice(reference, reference, reason)
    return Choice(encoder, reference)


def first_difference(encoder: Encoder, reference: Encoder, texts: list[str]) -> int | None:
    """The first of `texts` for which ids differ; None where none do."""
    return first_unequal(encoder.encode(texts), reference.encode(texts))


def first_unequal(found: Tokens, expected: Tokens) -> int | None:
    """The first text whose ids differ; None where none do."""
    if np.array_equal(found.lengths, expected.lengths) and np.array_equal(found.ids, expected.ids):
        return None
    for number in range(len(expected)):
        one = slice(number, number + 1)
        if not np.array_equal(found[one].ids, expected[one].ids):
            return number
    return None


def one_core_a_process() -> None:
    """Keep the libraries to one thread: every core has a task of its own."""
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    # fastokens' own helpers wait in a loop, and take from the other tasks what they give to this.
    os.environ.setdefault("FASTOKENS_BPE_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
