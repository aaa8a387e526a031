"""The metadata block of a document as token ids: its lines, one behind the other.

A line is tokenised once for each value, and blocks are joined of lines. Where the ids must be those
of the whole text, a line is `closed` if its vocabulary joins nothing of it to what follows; a block
with a line that is not, as a path that ends in punctuation, is tokenised as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from geo_nemo.config.template import LABEL, VALUE, Template
from geo_nemo.metadata.control import starts_marked, without_marks
from geo_nemo.metadata.fields import Line
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.metadata.seams import BEGINNING, NOTHING, WORD, Seams

if TYPE_CHECKING:
    from geo_nemo.tokenizers.base import Tokenizer

# Hosts of a large corpus outgrow any memory; the frequent ones fit here.
CACHED_VALUES = 65_536
NO_TOKENS = np.empty(0, dtype=np.int32)
# The length of a line that is not closed: its block is counted as a whole.
OPEN = -2


class PartBlocks:
    """Lines tokenised on their own, as runs without `cut: whole` train on them.

    separator: ids between the lines and the text.
    """

    def __init__(self, template: Template, tokenizer: Tokenizer, appends: bool):
        self._template = template
        self._tokenizer = tokenizer
        self._appends = appends
        self.separator = self._encode(template.after)
        self._line = lru_cache(CACHED_VALUES)(self._encode)
        self.block = lru_cache(CACHED_VALUES)(self._block)

    def text(self, line: Line, record: MetadataRecord, first: bool) -> str | None:
        """One line, with what stands between it and the one before; None: there is none."""
        value = line.value(record)
        if value is None:
            return None
        if self._template.control:
            value = without_marks(value)
        # Not str.format: a label or value may hold braces.
        before, _, after = self._template.line.partition(VALUE)
        shown = f"{before.replace(LABEL, line.label)}{value}{after.replace(LABEL, line.label)}"
        return shown if first else self._template.between + shown

    def lengths(self, texts: Sequence[str], first: bool) -> list[int]:
        """Tokens of each of some lines. first: they open their blocks."""
        return list(map(len, self._tokenizer.encode_batch(list(texts))))

    def _block(self, lines: tuple[str, ...]) -> np.ndarray:
        """The block of some lines, with its separator; int32 [n], read-only."""
        if not lines:
            return NO_TOKENS
        parts = [self._line(line) for line in lines]
        return _joined([self.separator, *parts] if self._appends else [*parts, self.separator])

    def _encode(self, text: str) -> np.ndarray:
        return _read_only(self._tokenizer.encode(text))


class WholeBlocks(PartBlocks):
    """Lines whose ids, joined, are those of the whole text.

    right: what follows the block. Behind the text, what stands between the two belongs to the text:
    see `Seams.splice_before`.
    """

    def __init__(
        self,
        template: Template,
        tokenizer: Tokenizer,
        appends: bool,
        seams: Seams,
        right: str,
    ):
        self._seams = seams
        self._right = right
        # What a line begins with, as far as what stands before it is concerned.
        self.first = NOTHING if starts_marked(template.line) else WORD
        super().__init__(template, tokenizer, appends)
        # What may follow a line, and its ids there.
        self._behind = [
            (tail, self._cut(WORD, tail))
            for tail in {template.between + self.first, template.after + right}
        ]
        self._left = {True: BEGINNING, False: WORD}
        self._head = {left: seams.head(left) for left in (BEGINNING, WORD, template.after)}
        if appends:
            self._left[True] = template.after
            self.separator = NO_TOKENS
        else:
            self.separator = seams.between(WORD, template.after, right)
        ids = tokenizer.encode(WORD + template.after + right)
        self._can_join = all(found is not None for _, found in self._behind) and (
            appends
            or (
                ids[: len(self._head[WORD])] == self._head[WORD]
                and len(ids) == len(self._head[WORD]) + len(self.separator) + seams.size(right)
            )
        )
        self._whole = lru_cache(CACHED_VALUES)(self._tokenised)
        self._closed_line = lru_cache(CACHED_VALUES)(self._closed)

    def lengths(self, texts: Sequence[str], first: bool) -> list[int]:
        """Tokens of each of some lines; OPEN where a line is not closed."""
        if not self._can_join:
            return [OPEN] * len(texts)
        left = self._left[first]
        head = self._head[left]
        found = self._tokenizer.encode_batch([left + text for text in texts])
        return [
            len(ids) - len(head) if self._is_closed(text, ids, left, head) else OPEN
            for text, ids in zip(texts, found, strict=True)
        ]

    def _block(self, lines: tuple[str, ...]) -> np.ndarray:
        if not lines:
            return NO_TOKENS
        found = [self._closed_line(line, place == 0) for place, line in enumerate(lines)]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found):
            return self._whole("".join(lines))
        return _joined([*parts, self.separator])

    def _closed(self, text: str, first: bool) -> np.ndarray | None:
        """Ids of a line, or None where it is not closed."""
        left = self._left[first]
        head = self._head[left]
        ids = self._tokenizer.encode(left + text)
        if not self._can_join or not self._is_closed(text, ids, left, head):
            return None
        return _read_only(ids[len(head) :])

    def _is_closed(self, text: str, ids: list[int], left: str, head: list[int]) -> bool:
        if ids[: len(head)] != head:
            return False
        # No vocabulary joins a letter or a digit to a line end.
        if text[-1].isalnum() and text[-1].isascii():
            return True
        return all(
            self._tokenizer.encode(left + text + tail) == [*ids, *(behind or ())]
            for tail, behind in self._behind
        )

    def _tokenised(self, lines: str) -> np.ndarray:
        """A block as a whole."""
        if self._appends:
            return self._seams.behind(self._template.after, lines)
        return self._seams.between(BEGINNING, lines + self._template.after, self._right)

    def _cut(self, left: str, text: str) -> list[int] | None:
        """Ids of `text` behind `left`; None where the vocabulary joins the two."""
        head, ids = self._tokenizer.encode(left), self._tokenizer.encode(left + text)
        return ids[len(head) :] if ids[: len(head)] == head else None


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    block = np.concatenate(parts)
    block.flags.writeable = False
    return block


def _read_only(ids: Sequence[int]) -> np.ndarray:
    array = np.array(ids, dtype=np.int32)
    array.flags.writeable = False
    return array
