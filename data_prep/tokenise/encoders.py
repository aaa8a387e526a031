"""Text to ids in arrays, on one core, as fast as it goes; always the reference tokenizer's ids.

What makes them, by the kind of tokenizer:
- Hugging Face and tiktoken: fastokens.
- sentencepiece BPE: sentencepiece itself, but each word once. No piece of such a vocabulary goes
  on behind a space, so that words can be encoded apart and kept.
Where these cannot be had, or differ on texts that are known to be hard, the reference does it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from data_prep.tokenise.by_word import WordEncoder, why_not_by_words
from data_prep.tokenise.shard_writer import Tokens
from data_prep.tokenise.store_writer import flat_tokens
from geo_nemo.store.manifest import token_dtype
from geo_nemo.tokenizers.base import Tokenizer, scrub
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
        self.name = {"huggingface": "tokenizers"}.get(tokenizer.kind, tokenizer.kind)
        self._tokenizer = tokenizer
        self._dtype = token_dtype(tokenizer.vocab_size)

    def encode(self, texts: list[str]) -> Tokens:
        # Of our libraries, only this one's batches can be kept to one thread from outside.
        if self._tokenizer.kind == "huggingface":
            ids = self._tokenizer.encode_batch(texts)
        else:
            ids = [self._tokenizer.encode(text) for text in texts]
        return flat_tokens(ids, self._dtype)


class BatchEncoder:
    """The batches of a tokenizer from outside, where it has some."""

    def __init__(self, tokenizer: Tokenizer):
        self.name = f"{tokenizer.kind} by batches"
        self._tokenizer = tokenizer
        self._dtype = token_dtype(tokenizer.vocab_size)

    def encode(self, texts: list[str]) -> Tokens:
        return flat_tokens(self._tokenizer.encode_batch(texts), self._dtype)


class FastokensEncoder:
    """The crate fastokens; `reference` does what it refuses."""

    name = "fastokens"

    def __init__(self, path: Path, tokenizer: Tokenizer, reference: Encoder):
        from fastokens import Tokenizer as Backend

        if tokenizer.kind == "tiktoken":
            settings = tokenizer.settings
            self._backend = Backend.from_tiktoken(
                str(path), pattern=settings.pattern, special_tokens=settings.special_tokens
            )
        else:
            self._backend = Backend.from_file(str(path))
        self._backend.no_truncation()
        self._backend.no_padding()
        self._reference = reference
        self._dtype = token_dtype(tokenizer.vocab_size)

    def encode(self, texts: list[str]) -> Tokens:
        try:
            # The last argument keeps names of control tokens ordinary text.
            ids, ends = self._backend.encode_batch_flat(texts, False, True)
        except UnicodeEncodeError:
            return self.encode([scrub(text) for text in texts])
        except Exception:  # a limit of its regular expressions, which the reference has not
            return self._reference.encode(texts)
        lengths = np.diff(np.frombuffer(ends, np.uint64)).astype(np.int64)
        return Tokens(np.frombuffer(ids, np.uint32).astype(self._dtype, copy=False), lengths)


def choose_encoder(path: Path, tokenizer: Tokenizer, reference_only: bool = False) -> Choice:
    """The fastest encoder for the tokenizer in `path` that has the reference's ids."""
    one_core_a_process()
    reference = ReferenceEncoder(tokenizer)
    if reference_only:
        return Choice(reference, reference, "the ids of a faster one differed on a document")
    encoder, reason = _FASTER.get(tokenizer.kind, _by_batches)(path, tokenizer, reference)
    if encoder is not reference:
        at = first_difference(encoder, reference, list(HARD_TEXTS))
        if at is not None:
            reason = f"{encoder.name} has other ids for {HARD_TEXTS[at]!r}"
            encoder = reference
    return Choice(encoder, reference, reason)


def _by_words(path: Path, tokenizer: Tokenizer, reference: Encoder) -> tuple[Encoder, str]:
    reason = why_not_by_words(path)
    return (reference, reason) if reason else (WordEncoder(path, tokenizer.vocab_size), "")


def _by_batches(path: Path, tokenizer: Tokenizer, reference: Encoder) -> tuple[Encoder, str]:
    return BatchEncoder(tokenizer), ""


def _fastokens(path: Path, tokenizer: Tokenizer, reference: Encoder) -> tuple[Encoder, str]:
    try:
        encoder = FastokensEncoder(path, tokenizer, reference)
        encoder.encode(list(HARD_TEXTS))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of fastokens is no Exception
        return reference, f"fastokens cannot be used: {' '.join(str(error).split())[:200]}"
    return encoder, ""


_FASTER = {"sentencepiece": _by_words, "huggingface": _fastokens, "tiktoken": _fastokens}


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
