"""Word n-grams of texts as 64-bit hashes, for several n in one pass.

A text of at least n words is told by its n-grams; one of fewer, and of at least MIN_WORDS, by all
its words in a row, which a document then holds or not. A text of fewer words is not looked for:
"who won the cup" is in every newspaper. Words are those of data_prep.dedup.words: lower case,
without punctuation.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from data_prep.dedup.words import Hashes, mix, odd_numbers

MIN_WORDS = 5
GRAMS_VERSION = "1"


def grams_by_length(
    words: Hashes, lengths: Sequence[int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each of `lengths`, ascending: (length, positions int64 [m], hashes uint64 [m]).

    positions: of the first word of every run of so many words of one text, into words.values.
    """
    values = words.values
    last = np.repeat(words.offsets[1:], words.counts)
    room = last - np.arange(len(values))
    sums = np.zeros(len(values), np.uint64)
    place = odd_numbers(max(lengths, default=0), seed=23)
    for j in range(len(place)):
        if j < len(values):
            sums[: len(values) - j] += values[j:] * place[j]
        if j + 1 in lengths:
            positions = np.flatnonzero(room > j)
            salt = odd_numbers(j + 1, seed=29)[j]
            yield j + 1, positions, mix(sums[positions] ^ salt)


def text_of_position(words: Hashes, positions: np.ndarray) -> np.ndarray:
    """int64 [m]: which text each position is in."""
    return np.searchsorted(words.offsets, positions, side="right") - 1


def item_grams(words: Hashes, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What tells evaluation texts: (text int64 [m], hash uint64 [m], lengths in use int64 [l]).

    Each pair of text and hash once, ascending.
    """
    length_of = np.where(words.counts < MIN_WORDS, 0, np.minimum(words.counts, n))
    lengths = np.unique(length_of[length_of > 0])
    texts, hashes = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for length, positions, values in grams_by_length(words, lengths.tolist()):
        text = text_of_position(words, positions)
        own = length_of[text] == length
        texts.append(text[own])
        hashes.append(values[own])
    text, value = np.concatenate(texts), np.concatenate(hashes)
    order = np.lexsort((value, text))
    text, value = text[order], value[order]
    new = np.ones(len(text), bool)
    new[1:] = (text[1:] != text[:-1]) | (value[1:] != value[:-1])
    return text[new], value[new], lengths
