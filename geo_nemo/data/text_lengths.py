"""Tokens of titles and bodies as a policy's template shows them, of many documents at once.

Where stored ids serve as they are, the store knows. Elsewhere the first word of a text, and for
some vocabularies its last, is tokenised anew (`geo_nemo.metadata.splice`). A store numbers first
words, so that what each of them adds is looked up. Where only the text tells:

1. A table tells what each token is to a seam, and so where the words of all texts lie.
2. Words are tokenised once each, and their sizes kept.
3. A text whose words are not among its first and last tokens is spliced by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.first_words import FEW, NO_TOKEN, TokenKinds, words_alone
from geo_nemo.metadata.seams import CACHED, STARTS_WORD
from geo_nemo.metadata.splice import Splicer
from geo_nemo.store.text_ends import TextEnds

if TYPE_CHECKING:
    from geo_nemo.store import Split
    from geo_nemo.store.first_words import FirstWords

# The size of a text that must be spliced by itself.
ALONE = -1
_UNKNOWN = np.iinfo(np.int16).min
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
            kinds = TokenKinds(composer.seams.kinds, composer.tokenizer.vocab_size)
            words = split.first_words
            sizes = lru_cache(None)(lambda splicer: _Sizes(splicer, kinds, words))
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
        if self._sizes is not None and (any(self._both) or not split.first_words.number):
            title, body = self._read(documents, opened)
            return title, body
        title, body = split.title_lengths[documents], split.body_lengths[documents]
        if self._sizes is None:
            return title, body
        words = split.words(documents)
        lengths = np.stack((title, body))
        for sizes, part, places in self._groups(opened, title > 0):
            lengths[part, places] = sizes.of_words(lengths[part, places], words[part, places])
        unknown = np.flatnonzero((lengths == ALONE).any(axis=0))
        if len(unknown):
            lengths[:, unknown] = self._read(documents[unknown], opened[unknown])
        return lengths[0], lengths[1]

    def _read(self, documents: np.ndarray, opened: np.ndarray) -> np.ndarray:
        """As `__call__`, int64 [2, n], found of the texts."""
        split = self._split
        parts = (
            split.title_ends(documents, FEW, self._both[0]),
            split.body_ends(documents, FEW, self._both[1]),
        )
        lengths = np.full((2, len(documents)), ALONE, np.int64)
        for sizes, part, places in self._groups(opened, parts[0].sizes > 0):
            lengths[part, places] = sizes(parts[part].of(places))
        for place in np.flatnonzero((lengths == ALONE).any(axis=0)).tolist():
            texts = split.texts(int(documents[place]))
            spliced = self._composer.splice(*texts, bool(opened[place]))
            lengths[:, place] = [len(part) for part in spliced]
        return lengths

    def _groups(
        self, opened: np.ndarray, titled: np.ndarray
    ) -> Iterator[tuple[_Sizes, int, slice | np.ndarray]]:
        """What sizes titles (0) and bodies (1), and which documents' [n]."""
        for (told, shown), pair in (self._sizes or {}).items():
            of = (opened == told) & (titled == shown)
            if not of.any():
                continue
            places = slice(None) if of.all() else np.flatnonzero(of)
            for part, sizes in enumerate(pair):
                yield sizes, part, places


class _Sizes:
    """Sizes of texts under one splicer."""

    def __init__(self, splicer: Splicer, kinds: TokenKinds, words: FirstWords):
        self._kinds = kinds
        self._words = words
        # By a first word's number in the store: tokens that it has more, or fewer, when cut anew.
        self._more = np.full(words.number + 1 if splicer.anew_front else 0, _UNKNOWN, np.int16)
        self._shows_nothing = splicer.shows_nothing
        self._fronts = _Counted(splicer.front) if splicer.anew_front else None
        self._backs = _Counted(splicer.back) if splicer.anew_back else None
        self.reads_last = splicer.anew_back

    def of_words(self, sizes: np.ndarray, words: np.ndarray) -> np.ndarray:
        """int64 [n], of texts whose ends serve; ALONE where a first word is not known.

        sizes: of the stored texts, [n]. words: numbers of their first words, [n].
        """
        if self._fronts is None:
            return sizes
        more = self._more[words]
        # Number 0, which is no word, stays unknown.
        new = np.unique(words[more == _UNKNOWN])
        new = new[new > 0]
        if len(new):
            tokens = self._words.tokens(new)
            anew = self._fronts(tokens, np.ones(len(new), bool))
            self._more[new] = anew - (tokens != NO_TOKEN).sum(axis=1)
            more = self._more[words]
        found = np.where(words > 0, sizes + more, ALONE)
        if self._shows_nothing:
            found[sizes == 0] = 0
        return found

    def __call__(self, ends: TextEnds) -> np.ndarray:
        """int64 [n], of texts that are read; ALONE where it cannot be told."""
        sizes = ends.sizes.copy()
        start = np.zeros_like(sizes)
        told = np.ones(len(sizes), bool)
        places = np.arange(FEW)
        if self._fronts is not None:
            start = self._kinds.second_words(ends.first)
            told &= start > 0
            sizes += self._fronts(words_alone(ends.first, start), told) - start
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
