"""A composed document: its tokens in parts, of a kind each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geo_nemo.metadata.blocks import NO_TOKENS
from geo_nemo.metadata.record import Kind

# What stands behind BOS, in order; a document may lack any of it.
LABEL_KINDS = (
    Kind.METADATA,
    Kind.LABEL,
    Kind.TITLE,
    Kind.LABEL,
    Kind.BODY,
    Kind.METADATA,
    Kind.EOS,
)
# The same where titles and bodies are of two parts, a beginning that is cut anew and the rest.
SPLICED_KINDS = (
    Kind.METADATA,
    Kind.LABEL,
    *(Kind.TITLE,) * 2,
    Kind.LABEL,
    *(Kind.BODY,) * 2,
    Kind.METADATA,
    Kind.EOS,
)
KINDS_OF = {len(kinds): kinds for kinds in (LABEL_KINDS, SPLICED_KINDS)}


class Composed:
    """A document, or a fragment of one, as it is trained on.

    first: the first token, which is no label: BOS, or another of a piece that was cut out.
    parts: ids of the other tokens, an integer array for each of `LABEL_KINDS`, or of
    `SPLICED_KINDS`; some of them are empty. Arrays of all tokens are made when they are asked for:
    sequences are built of the parts.
    """

    __slots__ = ("first", "first_kind", "parts")

    def __init__(self, first: int, parts: Sequence[np.ndarray], first_kind: Kind = Kind.BOS):
        self.first = first
        self.parts = parts
        self.first_kind = first_kind

    @property
    def ids(self) -> np.ndarray:
        """int32 [n]."""
        return np.concatenate([[self.first], *self.parts], dtype=np.int32, casting="same_kind")

    @property
    def kinds(self) -> np.ndarray:
        """uint8 [n], the `Kind` of each token."""
        sizes = [1, *map(len, self.parts)]
        kinds = [self.first_kind, *KINDS_OF[len(self.parts)]]
        return np.repeat(np.array(kinds, np.uint8), sizes)

    @property
    def spliced(self) -> Composed:
        """The same with a part for each of `SPLICED_KINDS`."""
        if len(self.parts) == len(SPLICED_KINDS):
            return self
        parts = list(self.parts)
        for place in (4, 2):  # of body and title
            parts.insert(place, NO_TOKENS)
        return Composed(self.first, parts, self.first_kind)

    def cut(self, start: int, stop: int) -> Composed:
        """The tokens from `start` to before `stop`, of which there must be one."""
        first, first_kind = self.first, self.first_kind
        parts, at = [], 1
        for part, kind in zip(self.parts, KINDS_OF[len(self.parts)], strict=True):
            if at <= start < at + len(part):
                first, first_kind = int(part[start - at]), kind
            parts.append(part[max(start + 1 - at, 0) : max(stop - at, 0)])
            at += len(part)
        return Composed(first, parts, first_kind)
