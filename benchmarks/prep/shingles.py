"""How much of a true text an extractor finds: precision, recall and F1 over runs of four words.

The measure of article-extraction-benchmark (Zyte): per page shares of runs that are found, too many
or missing, then means of precision and recall over the pages, and F1 of these means.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

WORDS = 4
_WORD = re.compile(r"\w+")


class Found(NamedTuple):
    """Of one page: runs of words that are right, too many, missing."""

    right: int
    extra: int
    missing: int


class Quality(NamedTuple):
    """Means over pages, 0 to 1."""

    f1: float
    precision: float
    recall: float


def compare_texts(true: str, found: str) -> Found:
    """Runs of WORDS words of both, counted as often as they stand there."""
    wanted, had = _runs(true), _runs(found)
    right = sum((wanted & had).values())
    return Found(right, sum(had.values()) - right, sum(wanted.values()) - right)


def quality(pages: Sequence[Found]) -> Quality:
    """Over pages: precision where a text was found, recall where there is one to find."""
    precisions = [p.right / (p.right + p.extra) for p in pages if p.right + p.extra]
    recalls = [p.right / (p.right + p.missing) for p in pages if p.right + p.missing]
    precision = sum(precisions) / max(len(precisions), 1)
    recall = sum(recalls) / max(len(recalls), 1)
    both = precision + recall
    return Quality(2 * precision * recall / both if both else 0.0, precision, recall)


def _runs(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    starts = range(max(1, len(words) - WORDS + 1)) if words else ()
    return Counter(tuple(words[start : start + WORDS]) for start in starts)
