"""Tokens of titles and bodies as a policy's template shows them, of many documents at once.

Where stored ids serve as they are, the store knows. Elsewhere the first word of a text, and for
some vocabularies its last, is tokenised anew (`geo_nemo.metadata.splice`):

1. A table tells what each token is to a seam, and so where the words of all texts lie.
2. Words are tokenised once each, and their sizes kept.
3. A text whose words are not among its first and last tokens is spliced by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.seams import BLANK, CACHED, PLAIN, STARTS_WORD, Seams
from geo_nemo.metadata.splice import FEW, Splicer
from geo_nemo.store.text_ends import NO_TOKEN, TextEnds

if TYPE_CHECKING:
    from geo_nemo.store import Split

# The size of a text that must be spliced by itself.
ALONE = -1
_UNKNOWN = -1
# With metadata or without, with a title or without.
TOLD = ((False, False), (False, True), (True, False), (True, True))
_BYTES = np.dtype((np.void, FEW * np.dtype(np.int32).itemsize))


class TextLengths:
    """Lengths of texts under one composer over one split."""

    def __init__(self, composer: Composer, split: Split):
        self._composer = composer
        self._split = split
        self._sizes: dict[tuple[bool, bool], list[_Sizes]] | None = None
        if composer.reads_texts:
            kinds = _Kinds(composer.seams, composer.tokenizer.vocab_size)
            sizes = lru_cache(None)(lambda splicer: _Sizes(splicer, kinds))
            self._sizes = {
                told: [sizes(splicer) for splicer in composer.splicers(*told)] for told in TOLD
            }
            self._both = [
                any(pair[part].reads_last for pair in self._sizes.values()) for part in (0, 1)
            ]

    def __call__(self, documents: np.ndarray, opened: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of titles and of bodies, int64 [n] each.

        documents: indices into the split, [n]. opened: whether metadata stand with them, bool [n].
        """
        split = self._split
        if self._sizes is None:
            title, body = split.title_lengths[documents], split.body_lengths[documents]
            return np.asarray(title, dtype=np.int64), np.asarray(body, dtype=np.int64)
        parts = (
            split.title_ends(documents, FEW, self._both[0]),
            split.body_ends(documents, FEW, self._both[1]),
        )
        titled = parts[0].sizes > 0
        lengths = np.full((2, len(documents)), ALONE, np.int64)
        for (told, shown), pair in self._sizes.items():
            of = (opened == told) & (titled == shown)
            places = slice(None) if of.all() else np.flatnonzero(of)
            for part, (ends, sizes) in enumerate(zip(parts, pair, strict=True)):
                lengths[part, places] = sizes(ends.of(places))
        for place in np.flatnonzero((lengths == ALONE).any(axis=0)).tolist():
            texts = split.texts(int(documents[place]))
            found = self._composer.splice(*texts, bool(opened[place]))
            lengths[:, place] = [len(spliced) for spliced in found]
        return lengths[0], lengths[1]


class _Kinds:
    """What each token is to a seam, as an array that is filled when tokens are met."""

    def __init__(self, seams: Seams, vocab_size: int):
        self._seams = seams
        # Behind the vocabulary: what a damaged store holds, and NO_TOKEN, which is the last.
        self._of = np.full(vocab_size + 2, _UNKNOWN, np.int8)
        self._of[-2:] = PLAIN, BLANK

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """int8, as `tokens` [n, m]; NO_TOKEN is blank."""
        tokens = np.minimum(tokens, len(self._of) - 2)
        kinds = self._of[tokens]
        unknown = kinds == _UNKNOWN
        if unknown.any():
            new = np.unique(tokens[unknown])
            self._of[new] = [self._seams.kinds[token] for token in new.tolist()]
            kinds = self._of[tokens]
        return kinds


class _Sizes:
    """Sizes of texts under one splicer."""

    def __init__(self, splicer: Splicer, kinds: _Kinds):
        self._kinds = kinds
        self._shows_nothing = splicer.shows_nothing
        self._fronts = _Counted(splicer.front) if splicer.anew_front else None
        self._backs = _Counted(splicer.back) if splicer.anew_back else None
        self.reads_last = splicer.anew_back

    def __call__(self, ends: TextEnds) -> np.ndarray:
        """int64 [n]; ALONE where it cannot be told."""
        sizes = ends.sizes.copy()
        start = np.zeros_like(sizes)
        told = np.ones(len(sizes), bool)
        places = np.arange(FEW)
        if self._fronts is not None:
            kinds = self._kinds(ends.first)
            seen = np.logical_or.accumulate(kinds != BLANK, axis=1)
            found = seen[:, :-1] & (kinds[:, 1:] == STARTS_WORD)
            start = found.argmax(axis=1) + 1
            told &= found.any(axis=1)
            words = np.where(places < start[:, None], ends.first, NO_TOKEN)
            sizes += self._fronts(words, told) - start
        if self._backs is not None:
            # The first token of a text starts no last word.
            later = places + ends.sizes[:, None] > FEW
            found = later & (self._kinds(ends.last) == STARTS_WORD)
            place = FEW - 1 - found[:, ::-1].argmax(axis=1)
            told &= found.any(axis=1) & (ends.sizes - FEW + place > start)
            words = np.where(places >= place[:, None], ends.last, NO_TOKEN)
            sizes += self._backs(words, told) - (FEW - place)
        sizes[~told] = ALONE
        if self._shows_nothing:
            sizes[ends.sizes == 0] = 0
        return sizes


class _Counted:
    """Tokens of words that are tokenised anew, each once."""

    def __init__(self, encode: Callable[[tuple[int, ...]], np.ndarray]):
        self._encode = encode
        self._sizes: dict[bytes, int] = {}

    def __call__(self, words: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """int64 [n]; 0 where it is not `wanted`. words: int32 [n, FEW], NO_TOKEN around them."""
        sizes = self._sizes
        if len(sizes) > CACHED:
            sizes.clear()
        chosen = np.ascontiguousarray(words[wanted])
        keys = cast(list[bytes], chosen.view(_BYTES).ravel().tolist())
        for place, key in enumerate(keys):
            if key not in sizes:
                word = chosen[place]
                sizes[key] = len(self._encode(tuple(word[word != NO_TOKEN].tolist())))
        found = np.zeros(len(words), np.int64)
        found[wanted] = [sizes[key] for key in keys]
        return found
