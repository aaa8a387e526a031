"""Parts of a text whose ids, one behind the other, are those of the whole text.

Stores keep the ids of " " + title + "\\n\\n" and of " " + body. Where a template puts no label in
front, the text begins without that space, and its first word is tokenised anew; so are the last
word and the blank line of a title, which some vocabularies tokenise by what follows. Between the
two the stored ids serve: no vocabulary in use joins the space that starts a word to what stands
before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
PLAIN, STARTS_WORD, BLANK = range(3)


class _Kinds(dict[int, int]):
    """What each token is to a seam; found when it is asked for first."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> int:
        piece = self._tokenizer.pieces([token])[0]
        starts = len(piece) > 1 and piece[0] == " " and piece[1].isalpha()
        self[token] = found = STARTS_WORD if starts else PLAIN if piece.strip() else BLANK
        return found


def piece_kinds(tokenizer: Tokenizer) -> Mapping[int, int]:
    """What each token is to a seam: PLAIN, STARTS_WORD or BLANK."""
    return _Kinds(tokenizer)


class Seams:
    """Cuts texts for one tokenizer.

    kinds: as `piece_kinds`.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self.between = lru_cache(CACHED)(self._between)
        self.kinds = piece_kinds(tokenizer)
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

    def back(self, ids: Sequence[int], after: str, right: str) -> np.ndarray:
        """Ids of a text's last word, and of `after`, where `right` follows."""
        # Some vocabularies drop the first space of what they decode.
        text = self._tokenizer.decode([*self._left[LABEL], *ids]).removeprefix(LABEL)
        return self._between(LABEL, text + after, right)

    def anew(self, ids: Sequence[int], left: str, after: str, right: str) -> np.ndarray:
        """Ids of a stored text, or of its beginning, as it stands behind `left`."""
        text = self._tokenizer.decode(ids).removeprefix(" ") if len(ids) else ""
        shown = f" {text}" if left == LABEL and len(ids) else text
        return self._between(left, shown + after, right)

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
