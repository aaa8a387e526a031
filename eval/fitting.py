"""Titles and bodies as a model's tokenizer has them, cut to what fits."""

from collections.abc import Callable

import numpy as np

from geo_nemo.tokenizers.base import Tokenizer


def title_ids(tokenizer: Tokenizer, title: str) -> np.ndarray:
    """As a store has them, int32 [n]."""
    return np.array(tokenizer.encode(f" {title}\n\n") if title else [], np.int32)


def body_ids(tokenizer: Tokenizer, body: str) -> np.ndarray:
    """As a store has them, int32 [n]."""
    return np.array(tokenizer.encode(f" {body}") if body else [], np.int32)


def fitting(
    title: str, body: str, tokenizer: Tokenizer, budget: Callable[[np.ndarray, np.ndarray], int]
) -> tuple[str, str]:
    """Title and body cut at a space, where there is one, so that they have `budget` tokens.

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
    """The longest beginning of `text`, up to a space or, without one, a character, that fits."""
    spaces = [n for n, letter in enumerate(text) if letter.isspace()]
    for ends in (spaces, range(len(text))):
        low, high = 0, len(ends)  # of the first `low` ends it is known that the last one fits
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(text[: ends[middle - 1]]) else (low, middle - 1)
        if low and text[: ends[low - 1]].strip():
            return text[: ends[low - 1]].rstrip()
    return ""
