"""Where the first words of many texts end, found of their first tokens at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from geo_nemo.metadata.seams import BLANK, PLAIN, STARTS_WORD

# A first word lies most often among so many tokens.
FEW = 8
NO_TOKEN = -1
_UNKNOWN = -1


class TokenKinds:
    """What each token is to a seam, as an array that is filled when tokens are met.

    kinds: as `seams.piece_kinds`.
    """

    def __init__(self, kinds: Mapping[int, int], vocab_size: int):
        self._kinds = kinds
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
            self._of[new] = [self._kinds[token] for token in new.tolist()]
            kinds = self._of[tokens]
        return kinds

    def second_words(self, first: np.ndarray) -> np.ndarray:
        """Where the second word of each text starts, int64 [n]; 0 where that is not among them.

        first: first tokens of texts, int32 [n, m], NO_TOKEN behind a shorter one.
        """
        kinds = self(first)
        seen = np.logical_or.accumulate(kinds != BLANK, axis=1)
        found = seen[:, :-1] & (kinds[:, 1:] == STARTS_WORD)
        return np.where(found.any(axis=1), found.argmax(axis=1) + 1, 0)


def words_alone(first: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """`first` [n, m] up to where the second words start, [n]; NO_TOKEN behind."""
    return np.where(np.arange(first.shape[1]) < ends[:, None], first, np.int32(NO_TOKEN))
