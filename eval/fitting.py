"""Titles and bodies as a model's tokenizer has them, cut to what fits."""

from collections.abc import Callable

import numpy as np

from geo_nemo.tokenizers.base import Tokenizer

LONGEST_WORD = 64  # characters


def title_ids(tokenizer: Tokenizer, title: str) -> np.ndarray:
    """As a store has them, int32 [n]."""
    return np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.int32)


def body_ids(tokenizer: Tokenizer, body: str) -> np.ndarray:
    """As a store has them, int32 [n]."""
    return np.array(tokenizer.encode(f" {body}") if body else [], np.int32)


def fitting(
    title: str, body: str, tokenizer: Tokenizer, budget: Callable[[np.ndarray, np.ndarray], int]
) -> tuple[str, str]:
    """Title and body cut at a space, where there are any, so that they have `budget` tokens.

    budget: of the ids of the title and of those of the body, whole.
    """
    first, rest = title_ids(tokenizer, title), body_ids(tokenizer, body)
    room = budget(first, rest)
    if len(first) > room:
        return _longest(title, lambda text: len(title_ids(tokenizer, text)) <= room), ""
    left = room - len(first)
    if len(rest) <= left:
        return title, body
    return title, _longest(body, lambda text: len(body_ids(tokenizer, text)) <= left)


def _longest(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of `text` that fits, up to a space, or to a character where the last
    space is further back than a word is long, as in writing without spaces.
    """
    low, high = 0, len(text) - 1  # the first `low` characters fit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(text[:middle].rstrip()) else (low, middle - 1)
    cut = text[:low]
    if cut and not (cut[-1].isspace() or text[low].isspace()):
        words = cut.rsplit(maxsplit=1)
        if len(words) == 2 and len(words[1]) <= LONGEST_WORD:
            cut = words[0]
    return cut.rstrip()
