"""The first and the last tokens of many texts at once: a few calls a shard, none a document."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from geo_nemo.metadata.first_words import NO_TOKEN
from geo_nemo.store.first_words import InShard

_NONE = np.int32(NO_TOKEN)


@dataclass(frozen=True)
class TextEnds:
    """Where texts begin and end.

    first, last: token ids, int32 [n, most], in order; a text that is shorter has NO_TOKEN behind it
    in `first` and before it in `last`. sizes: tokens of each whole text, int64 [n].
    """

    first: np.ndarray
    last: np.ndarray
    sizes: np.ndarray

    def of(self, places: slice | np.ndarray) -> "TextEnds":
        """Of some of the texts."""
        return TextEnds(self.first[places], self.last[places], self.sizes[places])


def text_ends(found: Iterable[InShard], part: str, number: int, most: int, both: bool) -> TextEnds:
    """Of the titles or bodies (`part`) of `number` documents.

    both: False leaves `last` empty.
    """
    first = np.full((number, most), NO_TOKEN, np.int32)
    last = first.copy()
    sizes = np.zeros(number, np.int64)
    counted = np.arange(most)
    for shard, places, local in found:
        tokens, end = getattr(shard, f"{part}_tokens"), getattr(shard, f"{part}_end")
        if not len(tokens):
            continue
        stop = end[local].astype(np.int64)
        start = np.where(local > 0, end[np.maximum(local - 1, 0)], 0).astype(np.int64)
        size = (stop - start)[:, None]
        # Tokens of a neighbour are read, too, where a text is shorter, and passed over.
        ahead = _signed(tokens.take(start[:, None] + counted, mode="clip"))
        first[places] = np.where(counted < size, ahead, _NONE)
        if both:
            behind = _signed(tokens.take(stop[:, None] - most + counted, mode="clip"))
            last[places] = np.where(counted >= most - size, behind, _NONE)
        sizes[places] = size[:, 0]
    return TextEnds(first, last, sizes)


def _signed(tokens: np.ndarray) -> np.ndarray:
    """As int32, which is above every vocabulary where a damaged store holds more."""
    if tokens.itemsize > 2:
        tokens = np.minimum(tokens, tokens.dtype.type(np.iinfo(np.int32).max))
    return tokens.astype(np.int32)
