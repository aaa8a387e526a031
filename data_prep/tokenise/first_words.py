"""Numbers the first words of titles and bodies, so that lengths of all templates need no text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.metadata.first_words import FEW, NO_TOKEN, TokenKinds, words_alone
from geo_nemo.metadata.seams import piece_kinds

if TYPE_CHECKING:
    from geo_nemo.tokenizers.base import Tokenizer

# Of the titles, and of the bodies, of a shard: both fit in 2 bytes. A text that begins with another
# one later has none, and is read where it is needed.
MOST_WORDS = (1 << 15) - 1
_BYTES = np.dtype((np.void, FEW * np.dtype(np.int32).itemsize))


class Beginnings:
    """What the tokens of one tokenizer are to a seam: for the shards of a process."""

    def __init__(self, tokenizer: Tokenizer):
        self._kinds = TokenKinds(piece_kinds(tokenizer), tokenizer.vocab_size)

    def words(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first tokens of n texts up to where the second word starts, int32 [n, FEW] with
        NO_TOKEN behind; and whether it does so among them, bool [n]."""
        starts = np.cumsum(lengths) - lengths
        places = starts[:, None] + np.arange(FEW)
        # Of texts without a token nothing is taken, and of no ids nothing can be.
        ids = ids if len(ids) else np.zeros(1, np.int32)
        ahead = ids.take(places, mode="clip").astype(np.int32)
        first = np.where(np.arange(FEW) < lengths[:, None], ahead, np.int32(NO_TOKEN))
        second = self._kinds.second_words(first)
        return words_alone(first, second), second > 0


class FirstWords:
    """Numbers of the first words of one shard's titles, or bodies, from 1, as they come."""

    def __init__(self, beginnings: Beginnings):
        self._beginnings = beginnings
        self._numbers: dict[bytes, int] = {}

    def of(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """uint32 [n], 0 for none. ids: of n texts, one behind the other; lengths: int64 [n]."""
        words, found = self._beginnings.words(ids, lengths)
        numbers = self._numbers
        codes = np.zeros(len(found), np.uint32)
        keys = np.ascontiguousarray(words[found]).view(_BYTES).ravel().tolist()
        if len(numbers) + len(keys) <= MOST_WORDS:
            codes[found] = [numbers.setdefault(key, len(numbers) + 1) for key in keys]
            return codes
        known = []
        for key in keys:
            if key not in numbers and len(numbers) < MOST_WORDS:
                numbers[key] = len(numbers) + 1
            known.append(numbers.get(key, 0))
        codes[found] = known
        return codes

    def tokens(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all words, one behind the other: their ids, and their sizes, int64 [m]."""
        table = np.frombuffer(b"".join(self._numbers), np.int32).reshape(-1, FEW)
        shown = table != NO_TOKEN
        return table[shown], shown.sum(axis=1)
