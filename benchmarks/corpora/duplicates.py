"""A corpus with near-duplicates whose true similarity is known, exactly.

A fifth of the documents are copies of an earlier one, edited as news is: words changed here and
there, or a block cut, or one added. The true Jaccard similarity of every two documents of a family
is computed from their sets of word 5-grams.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.corpora.news import word_model
from benchmarks.corpora.words import WordModel

COPY_FRACTION = 0.2
NGRAM = 5
# Words of a document of about 3 KB.
MEDIAN_WORDS, SPREAD = 480, 0.25
# Fractions of words that an edit changes: as single words, or as one block.
SCATTERED = (0.0, 0.003, 0.006, 0.01, 0.015, 0.02, 0.03, 0.05)
BLOCKS = (0.02, 0.05, 0.08, 0.12, 0.16, 0.2, 0.3, 0.4)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Pair:
    """Two documents by number, and the Jaccard similarity of their word 5-grams."""

    first: int
    second: int
    similarity: float


def duplicated_records(count: int, seed: int = 0) -> tuple[list[dict[str, Any]], list[Pair]]:
    """`count` records, and every pair of a family; two documents of no family share nothing.

    In memory whole: about 4 KB a document.
    """
    model = word_model()
    rng = np.random.default_rng([seed, 2])
    texts: list[str] = []
    families: dict[int, list[int]] = {}
    words: list[np.ndarray] = []
    forms: list[np.ndarray] = []
    roots: list[int] = []
    for number in range(count):
        if number > 10 and rng.random() < COPY_FRACTION:
            root = roots[int(rng.integers(number))]
            ids, form = _edit(rng, model, words[root], forms[root])
            families.setdefault(root, [root]).append(number)
        else:
            root = number
            length = int(np.exp(rng.normal(np.log(MEDIAN_WORDS), SPREAD)))
            ids, form = model.draw(rng, length), model.forms(rng, length)
        words.append(ids.astype(np.int32))
        forms.append(form.astype(np.int8))
        roots.append(root)
        texts.append(model.text(ids, form))
    records = [
        {
            "id": f"d{number:08d}",
            "url": f"https://www.outlet{root % 997}.co.uk/{number}",
            "country": "gb",
            "title": f"Report {number}",
            "text": text,
        }
        for number, (root, text) in enumerate(zip(roots, texts, strict=True))
    ]
    return records, list(_pairs(families, texts))


def shingles(text: str) -> set[tuple[str, ...]]:
    """The word 5-grams of a text, in lower case, without punctuation."""
    words = _WORD.findall(text.lower())
    return set(zip(*(words[start:] for start in range(NGRAM)), strict=False))


def similarity(first: set, second: set) -> float:
    """Jaccard similarity; 1 for two empty sets."""
    union = len(first | second)
    return len(first & second) / union if union else 1.0


def _edit(
    rng: np.random.Generator, model: WordModel, ids: np.ndarray, forms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    ids, forms = ids.astype(np.int64), forms.astype(np.int64)
    kind = rng.integers(3)
    if kind == 0:
        fraction = SCATTERED[int(rng.integers(len(SCATTERED)))]
        chosen = np.flatnonzero(rng.random(len(ids)) < fraction)
        ids[chosen] = model.draw(rng, len(chosen))
        return ids, forms
    size = max(1, int(len(ids) * BLOCKS[int(rng.integers(len(BLOCKS)))]))
    at = int(rng.integers(len(ids) - size))
    if kind == 1:
        keep = np.r_[0:at, at + size : len(ids)]
        return ids[keep], forms[keep]
    more = model.draw(rng, size)
    return np.insert(ids, at, more), np.insert(forms, at, model.forms(rng, size))


def _pairs(families: dict[int, list[int]], texts: list[str]) -> Iterator[Pair]:
    for members in families.values():
        sets = {number: shingles(texts[number]) for number in members}
        for first, second in combinations(members, 2):
            yield Pair(first, second, similarity(sets[first], sets[second]))
