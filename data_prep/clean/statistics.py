"""Counts of a text that several rules ask for, each made once and only when it is asked for.

Words are runs between white space, as published rules leave open what a word is; punctuation stays
on its word. A word without a letter or digit is a symbol. Blank lines are no lines.
"""

import re
from functools import cached_property
from itertools import accumulate

import numpy as np

_ALPHANUMERIC = re.compile(r"[^\W_]")
_BLANK_LINES = re.compile(r"\n{2,}")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class TextStatistics:
    """Of a text in normal form that is not empty."""

    def __init__(self, text: str):
        self.text = text
        self._keys: dict[int, np.ndarray] = {}
        self._repeats: dict[int, bool] = {}

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @cached_property
    def plain_words(self) -> list[str]:
        """Words that are no symbols."""
        return [word for word in self.words if word.isalpha() or _ALPHANUMERIC.search(word)]

    @cached_property
    def lines(self) -> list[str]:
        return [line for line in self.text.split("\n") if line and not line.isspace()]

    @cached_property
    def paragraphs(self) -> list[str]:
        return _BLANK_LINES.split(self.text)

    @cached_property
    def repeated_lines(self) -> tuple[int, int]:
        """Lines that stood further up, and their characters."""
        return _repeated(self.lines)

    @cached_property
    def repeated_paragraphs(self) -> tuple[int, int]:
        """Paragraphs that stood further up, and their characters."""
        return _repeated(self.paragraphs)

    def top_ngram(self, n: int) -> float:
        """Fraction of characters in the n-gram of words that occurs most often (of equals, the
        first).

        Spaces between its words count, as do overlaps. 0 where every n-gram occurs once.
        """
        if not self._repeat(n):
            return 0.0
        _, first, counts = np.unique(self._ngrams(n), return_index=True, return_counts=True)
        most = counts.max()
        start = int(first[counts == most].min())
        characters = self._ends[start + n] - self._ends[start] + n - 1
        return characters * int(most) / len(self.text)

    def repeated_ngrams(self, n: int) -> float:
        """Fraction of characters in n-grams of words that stood further up; none counts twice."""
        if (n > 1 and self._repeats.get(n - 1) is False) or not self._repeat(n):
            self._repeats[n] = False
            return 0.0
        keys, ends = self._ngrams(n).tolist(), self._ends
        seen: set[int] = set()
        characters = i = 0
        while i < len(keys):
            if keys[i] in seen:
                characters += ends[i + n] - ends[i]
                i += n
            else:
                seen.add(keys[i])
                i += 1
        return characters / len(self.text)

    @cached_property
    def _ends(self) -> list[int]:
        """Characters of the first i words, without the spaces between them; [words + 1]."""
        return list(accumulate(map(len, self.words), initial=0))

    def _repeat(self, n: int) -> bool:
        """Whether an n-gram occurs twice."""
        if n not in self._repeats:
            keys = self._ngrams(n)
            self._repeats[n] = len(keys) > 1 and len(np.unique(keys)) < len(keys)
        return self._repeats[n]

    def _ngrams(self, n: int) -> np.ndarray:
        """64-bit keys of the n-grams, uint64 [words - n + 1]: equal where the words are equal.

        Two that differ have the same key in one of about 10^19 cases.
        """
        if n not in self._keys:
            if n == 1:
                hashes = np.fromiter(map(hash, self.words), np.int64, len(self.words))
                self._keys[1] = hashes.view(np.uint64)
            else:
                shorter = self._ngrams(n - 1)[: max(0, len(self.words) - n + 1)]
                self._keys[n] = shorter * _MULTIPLIER + self._ngrams(1)[n - 1 :]
        return self._keys[n]


def _repeated(pieces: list[str]) -> tuple[int, int]:
    unique = set(pieces)
    if len(unique) == len(pieces):
        return 0, 0
    characters = sum(map(len, pieces)) - sum(map(len, unique))
    return len(pieces) - len(unique), characters
