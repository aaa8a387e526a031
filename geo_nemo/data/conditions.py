"""Whose metadata a document is told under each condition: one definition, for validation while a
run goes on and for evaluation.

with: its own. without: none. shuffled: another document's, a permutation without fixed points.
wrong: that of a document which differs in what is told: in the country where the policy tells an
origin (host, country, continent or path), else in the values of its fields.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from geo_nemo.config import UserError
from geo_nemo.metadata.fields import Line
from geo_nemo.metadata.record import KEY_OF, MetadataRecord

WITH, WITHOUT, SHUFFLED, WRONG = "with", "without", "shuffled", "wrong"
_ORIGIN = {"host", "country", None}
# Purposes of draws; the second is named as evaluation's arm has always been.
_PURPOSES = {SHUFFLED: "shuffled", WRONG: "wrong_country"}


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator of its own for each purpose, so that one draw never moves another."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def tells_origin(lines: Iterable[Line]) -> bool:
    """Whether one of the lines depends on where a document is from."""
    return any(KEY_OF.get(c, c) in _ORIGIN for line in lines for c in line.columns)


def told_codes(
    lines: Sequence[Line], number: int, record: Callable[[int], MetadataRecord]
) -> np.ndarray:
    """What decides whether telling one item's metadata to another is wrong, int64 [number].

    Items with the same code may not lend each other theirs. record: of an item.
    """
    if tells_origin(lines):
        told = [record(item).country for item in range(number)]
    else:
        told = [repr([line.value(record(item)) for line in lines]) for item in range(number)]
    return np.unique(np.array(told), return_inverse=True)[1].reshape(-1)


def donors(condition: str, told: np.ndarray, seed: int, what: str) -> np.ndarray | None:
    """Index of the item whose record each item is told, int64 [n]; None where it is told none.

    told: `told_codes` of the items. what: their name (`documents`, `questions`), which the draw
    depends on. Raises UserError where the items do not allow the condition.
    """
    n = len(told)
    if condition == WITHOUT:
        return None
    if condition == WITH:
        return np.arange(n)
    rng = generator(seed, f"{what}/{_PURPOSES[condition]}")
    if condition == SHUFFLED:
        if n < 2:
            raise UserError(f"shuffled needs two {what}, there is {n}")
        return cyclic_permutation(n, rng)
    if len(np.unique(told)) < 2:
        raise UserError(f"wrong metadata needs {what} that differ in it, and all are told the same")
    return of_another(told, rng)


def cyclic_permutation(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random permutation of n >= 2 items that is one cycle, so that no item keeps its place.

    Returns int64 [n]. Uniform over the (n - 1)! cycles.
    """
    order = rng.permutation(n)
    permutation = np.empty(n, dtype=np.int64)
    permutation[order] = np.roll(order, -1)
    return permutation


def of_another(told: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each item, a random item with another code.

    told: int [n] with at least two values. Returns int64 [n], indices of items. The draw is
    uniform over all items with other codes, so frequent ones are drawn more often.
    """
    drawn = np.empty(len(told), dtype=np.int64)
    order = np.argsort(told, kind="stable")
    values, starts, counts = np.unique(told[order], return_index=True, return_counts=True)
    for _, start, count in zip(values, starts, counts, strict=True):
        draws = rng.integers(len(told) - count, size=count)
        # Places at or after this code's block are moved behind it.
        draws[draws >= start] += count
        drawn[order[start : start + count]] = order[draws]
    return drawn
