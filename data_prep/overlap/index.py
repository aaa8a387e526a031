"""The n-grams of all evaluation texts, and which of them a document holds.

In memory, of a task that looks documents up: 8 to 16 bytes a distinct n-gram and as much a distinct
prefix, two tables by the first bits of a hash that turn away what is in no evaluation text. On
disk, mapped and read where the tables let through: 16 bytes a distinct n-gram and 8 for each text
that it is in. Building it takes 64 bytes an n-gram, counted in every text that it is in.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.dedup.arrays import load, save
from data_prep.dedup.word_hashes import Hashes
from data_prep.overlap.grams import ItemGrams, all_runs, longer_runs

# An n-gram that more texts share is boilerplate; it counts for the first so many of them alone,
# so that a document that holds it does not meet each of a million texts.
MAX_TEXTS = 1000
_MIN_TABLE_BITS, _TABLE_PER_HASH = 16, 8


@dataclass(frozen=True)
class Index:
    """grams: uint64 [g], ascending. texts: int64 [t]; gram i is in texts[starts[i]:starts[i + 1]].

    totals: int64 [n], distinct n-grams of each text. lengths: int64 [l], words of the n-grams.
    table, prefix_table: bool [2^k], true where the hash of some n-gram, or of some prefix, has
    these first k bits. prefix: int64 [1], words of a prefix.
    """

    grams: np.ndarray
    starts: np.ndarray
    texts: np.ndarray
    totals: np.ndarray
    lengths: np.ndarray
    table: np.ndarray
    prefix_table: np.ndarray
    prefix: np.ndarray

    def save(self, folder: Path) -> None:
        for name in self.__dataclass_fields__:
            save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> "Index":
        found = {name: load(folder / f"{name}.npy") for name in cls.__dataclass_fields__}
        # Tables are read at random and often: not from a file.
        tables = {name: np.array(found[name]) for name in ("table", "prefix_table")}
        return cls(**found | tables)


def build_index(items: ItemGrams, count: int, prefix: int) -> Index:
    """Of `count` texts; prefix: words of the prefixes of `items`."""
    order = np.lexsort((items.texts, items.grams))
    texts, grams = items.texts[order], items.grams[order]
    totals = np.bincount(texts, minlength=count)
    distinct, starts, counts = np.unique(grams, return_index=True, return_counts=True)
    if counts.max(initial=0) > MAX_TEXTS:
        place = np.arange(len(texts)) - np.repeat(starts, counts)
        texts = texts[place < MAX_TEXTS]
        counts = np.minimum(counts, MAX_TEXTS)
    return Index(
        grams=distinct,
        starts=np.concatenate([[0], np.cumsum(counts)]),
        texts=texts,
        totals=totals,
        lengths=np.unique(items.lengths),
        table=_table(distinct),
        prefix_table=_table(np.unique(items.prefixes)),
        prefix=np.array([prefix]),
    )


def _table(hashes: np.ndarray) -> np.ndarray:
    bits = max(_MIN_TABLE_BITS, int(len(hashes) * _TABLE_PER_HASH - 1).bit_length())
    table = np.zeros(1 << bits, bool)
    table[_slots(hashes, table)] = True
    return table


def _slots(hashes: np.ndarray, table: np.ndarray) -> np.ndarray:
    bits = len(table).bit_length() - 1
    return (hashes >> np.uint64(64 - bits)).astype(np.int64)


@dataclass(frozen=True)
class Matches:
    """documents, texts, shared: int64 [m]; the distinct n-grams of the text in the document."""

    documents: np.ndarray
    texts: np.ndarray
    shared: np.ndarray

    def of_fraction(self, fraction: float, totals: np.ndarray) -> "Matches":
        """Those with at least so great a fraction of the text's n-grams."""
        enough = self.shared >= fraction * totals[self.texts] - 1e-9
        return Matches(self.documents[enough], self.texts[enough], self.shared[enough])


def find_matches(words: Hashes, index: Index) -> Matches:
    """Pairs of documents, whose words these are, and texts that share an n-gram; ascending."""
    documents, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    if len(index.grams):
        start = all_runs(words, int(index.prefix[0]))
        start = start.where(index.prefix_table[_slots(start.prefixes(), index.prefix_table)])
        for runs, grams in longer_runs(start, index.lengths.tolist()):
            maybe = index.table[_slots(grams, index.table)]
            runs, grams = runs.where(maybe), grams[maybe]
            place = np.minimum(np.searchsorted(index.grams, grams), len(index.grams) - 1)
            known = index.grams[place] == grams
            documents.append(runs.where(known).texts())
            places.append(place[known])
    # Each n-gram of a document once, then each text that it is in.
    width = max(len(index.grams), 1)
    once = np.unique(np.concatenate(documents) * width + np.concatenate(places))
    document, place = once // width, once % width
    first, count = index.starts[place], index.starts[place + 1] - index.starts[place]
    inner = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    text = index.texts[np.repeat(first, count) + inner]
    width = max(len(index.totals), 1)
    pairs, shared = np.unique(np.repeat(document, count) * width + text, return_counts=True)
    return Matches(pairs // width, pairs % width, shared)
