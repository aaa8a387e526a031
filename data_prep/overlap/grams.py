"""Word n-grams of texts as 64-bit hashes, for several n in one pass.

A text of at least n words is told by its n-grams; one of fewer, and of at least MIN_WORDS, by all
its words in a row, which a document then holds or not. A text of fewer words is not looked for:
"who won the cup" is in every newspaper. Words are those of data_prep.dedup.word_hashes: lower case,
without punctuation.

Every n-gram begins with a prefix of the same few words. A document's prefixes are looked up first,
and n-grams are made only where one is known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.dedup.word_hashes import Hashes
from data_prep.hashes import mix, odd_numbers

MIN_WORDS = 5
GRAMS_VERSION = "2"
_PLACE_SEED, _LENGTH_SEED, _PREFIX_SEED = 23, 29, 31


@dataclass(frozen=True)
class Runs:
    """Places in words.values where `length` words of one text begin, and sums over those.

    positions: int64 [m]. room: int64 [m], words from there to the end of the text.
    sums: uint64 [m].
    """

    words: Hashes
    length: int
    positions: np.ndarray
    room: np.ndarray
    sums: np.ndarray

    def prefixes(self) -> np.ndarray:
        """uint64 [m]: hashes of the words so far."""
        return mix(self.sums ^ odd_numbers(1, _PREFIX_SEED)[0])

    def where(self, kept: np.ndarray) -> "Runs":
        """Those of a bool [m]."""
        return Runs(self.words, self.length, self.positions[kept], self.room[kept], self.sums[kept])

    def texts(self) -> np.ndarray:
        """int64 [m]: which text each is in."""
        return np.searchsorted(self.words.offsets, self.positions, side="right") - 1


def prefix_words(n: int) -> int:
    """Words of the prefix that n-grams, and short texts, are looked up by."""
    return min(MIN_WORDS, n)


def all_runs(words: Hashes, length: int) -> Runs:
    """Every run of `length` words of one text."""
    values = words.values
    room = np.repeat(words.offsets[1:], words.counts) - np.arange(len(values))
    sums = np.zeros(len(values), np.uint64)
    for j, odd in enumerate(odd_numbers(length, _PLACE_SEED)[: len(values)]):
        sums[: len(values) - j] += values[j:] * odd
    positions = np.flatnonzero(room >= length)
    return Runs(words, length, positions, room[positions], sums[positions])


def longer_runs(runs: Runs, lengths: Sequence[int]) -> Iterator[tuple[Runs, np.ndarray]]:
    """For each of `lengths`, ascending: the runs that have so many words, and their hashes.

    hashes: uint64 [m]; those of different lengths are different.
    """
    longest = max(lengths, default=0)
    place, salt = odd_numbers(longest, _PLACE_SEED), odd_numbers(longest + 1, _LENGTH_SEED)
    for length in lengths:
        runs = runs.where(runs.room >= length)
        sums = runs.sums
        for j in range(runs.length, length):
            sums = sums + runs.words.values[runs.positions + j] * place[j]
        runs = Runs(runs.words, length, runs.positions, runs.room, sums)
        yield runs, mix(sums ^ salt[length])


@dataclass(frozen=True)
class ItemGrams:
    """What tells evaluation texts: each n-gram of each text once, ascending by both.

    texts: int64 [m]; grams, prefixes: uint64 [m]. lengths: int64 [l], words of the n-grams.
    """

    texts: np.ndarray
    grams: np.ndarray
    prefixes: np.ndarray
    lengths: np.ndarray


def item_grams(words: Hashes, n: int) -> ItemGrams:
    """Of evaluation texts with these words."""
    length_of = np.where(words.counts < MIN_WORDS, 0, np.minimum(words.counts, n))
    lengths = np.unique(length_of[length_of > 0])
    texts = [np.empty(0, np.int64)]
    grams, prefixes = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    start = all_runs(words, prefix_words(n))
    prefix = start.prefixes()
    for runs, hashes in longer_runs(start, lengths.tolist()):
        text = runs.texts()
        own = length_of[text] == runs.length
        texts.append(text[own])
        grams.append(hashes[own])
        prefixes.append(prefix[np.searchsorted(start.positions, runs.positions[own])])
    text, gram, first = np.concatenate(texts), np.concatenate(grams), np.concatenate(prefixes)
    order = np.lexsort((gram, text))
    text, gram, first = text[order], gram[order], first[order]
    new = np.ones(len(text), bool)
    new[1:] = (text[1:] != text[:-1]) | (gram[1:] != gram[:-1])
    return ItemGrams(text[new], gram[new], first[new], lengths)
