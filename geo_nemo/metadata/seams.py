"""Parts of a text whose ids, one behind the other, are those of the whole text.

Stores keep the ids of " " + title + "\\n\\n" and of " " + body. Where a template puts no label in
front, the text begins without that space, and its first word is tokenised anew; so are the last
word and the blank line of a title, which some vocabularies tokenise by what follows. Between the
two the stored ids serve: no vocabulary in use joins the space that starts a word to what stands
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from geo_nemo.tokenizers.base import Tokenizer

CACHED = 65_536
# What stands around a part while it is tokenised: the beginning of the document, a blank line, or a
# label that ends in a space, which then belongs to the text.
BEGINNING, BLANK_LINE, LABEL = "", "\n\n", "x"
WORD, SPACED_WORD, NOTHING = "A", " A", ""
# Texts that begin and end with characters of all kinds that vocabularies treat apart.
_PROBES = (
    "word", "Word it", "7", "25 men", ".", "end.", "yes!", "(so)", ") x", "\u201cQuoted\u201d",
    "...", "\u2026 so\u2026", "caf\u00e9", "\u00e9t\u00e9", "\u4f60\u597d", " two  spaces ",
    "\u00a0x\u00a0", "\tx\t", "\nx", "\n\nx", "x\n", "x.\n", "-", "/", "it's", "'s",
    "\U0001f600", "x;", "</s>", "#1", "$5", "A", "a",
)  # fmt: skip
# A text without a word's start among so many tokens is tokenised anew as a whole.
_FEW, _SEARCHED = 8, 64
_NOTHING = np.empty(0, np.int32)


class Spliced:
    """Stored ids with another beginning and end: front, stored[start:stop], back."""

    __slots__ = ("back", "front", "start", "stop")

    def __init__(self, front: np.ndarray, start: int, stop: int, back: np.ndarray):
        self.front = front
        self.start = start
        self.stop = stop
        self.back = back

    def __len__(self) -> int:
        return len(self.front) + self.stop - self.start + len(self.back)

    def take(self, stored: np.ndarray, first: int, last: int) -> np.ndarray:
        """The ids from `first` to before `last`; a view of `stored` where they lie in it."""
        shift, end = self.start - len(self.front), len(self) - len(self.back)
        if len(self.front) <= first and last <= end:
            return stored[first + shift : last + shift]
        return self.whole(stored)[first:last]

    def whole(self, stored: np.ndarray) -> np.ndarray:
        """All ids."""
        between = stored[self.start : self.stop]
        if len(self.back):
            return np.concatenate((self.front, between, self.back))
        return np.concatenate((self.front, between)) if len(self.front) else between


_EMPTY = Spliced(_NOTHING, 0, 0, _NOTHING)
_PLAIN, _STARTS_WORD, _BLANK = range(3)


class _Classes(dict[int, int]):
    """What each token is to a seam; found when it is asked for first."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> int:
        piece = self._tokenizer.pieces([token])[0]
        starts = len(piece) > 1 and piece[0] == " " and piece[1].isalpha()
        self[token] = found = _STARTS_WORD if starts else _PLAIN if piece.strip() else _BLANK
        return found


class Seams:
    """Cuts texts for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self.between = lru_cache(CACHED)(self._between)
        self._classes = _Classes(tokenizer)
        self._front_of = lru_cache(CACHED)(self._encode_front)
        self._back_of = lru_cache(CACHED)(self._encode_back)
        self._left = {left: self.head(left) for left in (BEGINNING, BLANK_LINE, LABEL, WORD)}
        self._right = {right: self._after_blank_line(right) for right in (WORD, SPACED_WORD)}
        self._serves = {
            (left, closed): self._is_served(left, closed)
            for left in self._left
            for closed in (False, True)
        }

    def _between(self, left: str, text: str, right: str) -> np.ndarray:
        """Ids of `text` where it stands behind `left` and before `right`; int32, read-only.

        Where a vocabulary joins it to either, the ids of the text alone.
        """
        ids = self._tokenizer.encode(left + text + right)
        first, last = self._left[left], self._right.get(right, [])
        end = len(ids) - len(last)
        cut = ids[: len(first)] == first and ids[end:] == last and len(first) <= end
        found = np.array(ids[len(first) : end] if cut else self._tokenizer.encode(text), np.int32)
        found.flags.writeable = False
        return found

    def serves(self, left: str, closed: bool) -> bool:
        """Whether stored ids of titles (`closed`) or bodies are those behind `left` as they are."""
        return self._serves[left, closed]

    def size(self, right: str) -> int:
        """Tokens of what follows a part."""
        return len(self._right.get(right, []))

    def behind(self, left: str, text: str) -> np.ndarray:
        """Ids of `text` behind `left` and at the end of the document; int32, read-only."""
        head, ids = self.head(left), self._tokenizer.encode(left + text)
        cut = ids[: len(head)] == head
        found = np.array(ids[len(head) :] if cut else self._tokenizer.encode(text), np.int32)
        found.flags.writeable = False
        return found

    def head(self, left: str) -> list[int]:
        """Ids of a context, as they are before a word or a line end."""
        if left in (BEGINNING, LABEL, WORD):
            return self._tokenizer.encode(left)
        together = self._tokenizer.encode(left + WORD)
        return together[: len(together) - len(self._after_blank_line(WORD))]

    def splice(self, ids: np.ndarray, left: str, closed: bool) -> Spliced:
        """A stored title (`closed`: its blank line stands before a word) or body, behind `left`."""
        number = len(ids)
        if number == 0:
            return _EMPTY
        if self._serves[left, closed]:
            return Spliced(_NOTHING, 0, number, _NOTHING)
        # Whether a vocabulary tokenises a blank line as what follows asks for.
        closes = closed and not self._serves[LABEL, True]
        # As Python's numbers once: elements of a memory map cost ten times as much.
        some = ids[: None if closes else _FEW].tolist()
        start = self._second_word(some)
        if closes and start is not None:
            stop = self._last_word(some)
            if start < stop:
                front, back = tuple(some[:start]), tuple(some[stop:])
                return Spliced(self._front_of(front, left), start, stop, self._back_of(back))
            start = None
        elif start is None and number > _FEW:
            some = ids[:_SEARCHED].tolist()
            start = self._second_word(some)
        if start is None:
            whole = self._front(ids.tolist(), left, WORD if closed else "")
            return Spliced(whole, number, number, _NOTHING)
        return Spliced(self._front_of(tuple(some[:start]), left), start, number, _NOTHING)

    def splice_before(self, ids: np.ndarray, left: str, after: str, right: str) -> Spliced:
        """A stored body behind `left`; what stands between it and `right` becomes its end."""
        front = self.splice(ids, left, closed=False)
        number = len(ids)
        stop = self._last_word(ids.tolist())
        if stop > front.start:
            back = self._back_of(tuple(ids[stop:].tolist()), after, right)
            return Spliced(front.front, front.start, stop, back)
        text = self._text_of(ids.tolist(), left) if number else ""
        return Spliced(self._between(left, text + after, right), number, number, _NOTHING)

    def _second_word(self, ids: list[int]) -> int | None:
        """The first place, behind a visible token, where a word starts."""
        classes, seen = self._classes, False
        for place, token in enumerate(ids):
            kind = classes[token]
            if seen and kind == _STARTS_WORD:
                return place
            if kind != _BLANK:
                seen = True
        return None

    def _last_word(self, ids: list[int]) -> int:
        """The last place where a word starts; 0 where there is none."""
        classes = self._classes
        for place in range(len(ids) - 1, 0, -1):
            if classes[ids[place]] == _STARTS_WORD:
                return place
        return 0

    def _encode_front(self, ids: tuple[int, ...], left: str) -> np.ndarray:
        return self._front(ids, left, "")

    def _encode_back(self, ids: tuple[int, ...], after: str = "", right: str = WORD) -> np.ndarray:
        """Of ids from the start of a title's or body's last word on."""
        # Some vocabularies drop the first space of what they decode.
        text = self._tokenizer.decode([*self._left[LABEL], *ids]).removeprefix(LABEL)
        return self._between(LABEL, text + after, right)

    def _front(self, ids: Sequence[int], left: str, right: str) -> np.ndarray:
        return self._between(left, self._text_of(ids, left), right)

    def _text_of(self, ids: Sequence[int], left: str) -> str:
        """A stored text as it stands behind `left`."""
        text = self._tokenizer.decode(ids).removeprefix(" ")
        return f" {text}" if left == LABEL else text

    def _is_served(self, left: str, closed: bool) -> bool:
        """Whether stored ids need no care behind `left`: texts of all kinds tell."""
        if left != LABEL:
            return False  # the space that stores keep in front is not there
        encode = self._tokenizer.encode
        head, end = self._left[left], self._right[WORD] if closed else []
        for text in _PROBES:
            stored = f" {text}{BLANK_LINE}" if closed else f" {text}"
            whole = encode(left + stored + (WORD if closed else ""))
            if whole != [*head, *encode(stored), *end]:
                return False
        return True

    def _after_blank_line(self, right: str) -> list[int]:
        """Ids of a context, as they are behind a blank line or the end of a label."""
        before = BLANK_LINE if right == WORD else ":"
        together = self._tokenizer.encode(before + right)
        # From the end, as long as it is that word's; with its space, which may be a token.
        sizes = [
            size
            for size in range(1, len(together) + 1)
            if self._tokenizer.decode(together[-size:]).strip() == right.strip()
        ]
        if not sizes:
            return []
        return together[-(min(sizes) if right == WORD else max(sizes)) :]
