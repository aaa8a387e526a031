"""A tokenizer of any kind as a `tokenizer.json`, which puts BOS in front as training did.

A conversion is compared with its original on texts that are known to be hard, and on its own
pieces. Control tokens that stand in a text are read as such by default, as in every Hugging Face
model.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import processors

from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.tokenizers.hard_texts import HARD_TEXTS

PIECES_A_TEXT = 64


def converted(path: Path, tokenizer: Tokenizer) -> Backend | None:
    """`tokenizer`, whose file is `path`, for Hugging Face; None where ids would differ."""
    backend = tokenizer.as_tokenizer_json(path)
    if backend is None:
        return None
    if not starts_with_bos(backend, tokenizer):
        _put_bos_first(backend, tokenizer)
    return backend if _same_ids(backend, tokenizer) else None


def starts_with_bos(backend: Backend, tokenizer: Tokenizer) -> bool:
    """Whether it puts BOS before a text, and nothing else around it."""
    bare = backend.encode("a", add_special_tokens=False).ids
    return backend.encode("a").ids == [tokenizer.bos_id, *bare]


def add_rows(backend: Backend, names: list[str], first: int) -> bool:
    """Add control tokens by name, from the id `first` on; False where they have other ids."""
    backend.add_special_tokens(names)
    return [backend.token_to_id(name) for name in names] == list(range(first, first + len(names)))


def _put_bos_first(backend: Backend, tokenizer: Tokenizer) -> None:
    name = backend.id_to_token(tokenizer.bos_id)
    template = processors.TemplateProcessing(
        single=[name, "$A"],
        pair=[name, "$A", f"{name}:1", "$B:1"],
        special_tokens=[(name, tokenizer.bos_id)],
    )
    before = backend.post_processor
    if isinstance(before, processors.ByteLevel):  # which only mends offsets
        template = processors.Sequence([before, template])
    backend.post_processor = template


def _same_ids(backend: Backend, tokenizer: Tokenizer) -> bool:
    backend.encode_special_tokens = True
    texts = chain(HARD_TEXTS, _texts_of_pieces(tokenizer))
    same = all(_same(backend, tokenizer, text) for text in texts)
    backend.encode_special_tokens = False
    return same


def _texts_of_pieces(tokenizer: Tokenizer) -> Iterator[str]:
    """The whole vocabulary, many pieces together: what is merged, and in which order."""
    for first in range(0, tokenizer.vocab_size, PIECES_A_TEXT):
        last = min(first + PIECES_A_TEXT, tokenizer.vocab_size)
        yield "".join(tokenizer.pieces(range(first, last)))


def _same(backend: Backend, tokenizer: Tokenizer, text: str) -> bool:
    ids = tokenizer.encode(text)
    if backend.encode(text).ids != [tokenizer.bos_id, *ids]:
        return False
    # What is unknown to a vocabulary has no text, which each library shows in its own way.
    return tokenizer.decode(ids) != text or backend.decode(ids) == text
