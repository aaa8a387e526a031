"""Whose metadata a document is told under each condition: one definition, for validation while a
run goes on and for evaluation.

with: its own. without: none. shuffled: another document's, a permutation without fixed points.
wrong: that of a document which differs in what is told: in the country where the policy tells an
origin (host, country, continent or path), else in the values of its fields. The other tells a value
that is not the document's own; a document that tells nothing is told nothing.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np

from geo_nemo.config import UserError
from geo_nemo.metadata.fields import Line
from geo_nemo.metadata.record import KEY_OF, MetadataRecord

WITH, WITHOUT, SHUFFLED, WRONG = "with", "without", "shuffled", "wrong"
# Codes: of a country that is not known, and of a line that is left out.
UNKNOWN = NOTHING = -1
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

    Items with the same code may not lend each other theirs; one of UNKNOWN lends it to nobody, as
    its country is not known. record: of an item.
    """
    if tells_origin(lines):
        told = [record(item).country for item in range(number)]
    else:
        told = [repr([line.value(record(item)) for line in lines]) for item in range(number)]
    # An unknown country is empty, and so the first of all.
    return np.unique(np.array(told), return_inverse=True)[1].reshape(-1) - ("" in told)


def told_values(
    lines: Sequence[Line], number: int, record: Callable[[int], MetadataRecord]
) -> np.ndarray:
    """What each line that makes telling wrong says of each item, as codes, int64 [lines, number].

    Those are the lines that tell an origin, where there are any; NOTHING is where one says nothing.
    """
    lines = [line for line in lines if tells_origin([line])] or lines
    found = np.full((len(lines), number), NOTHING)
    for row, line in zip(found, lines, strict=True):
        codes: dict[str, int] = {}
        for item in range(number):
            if (value := line.value(record(item))) is not None:
                row[item] = codes.setdefault(value, len(codes))
    return found


def donors(
    condition: str,
    told: np.ndarray,
    seed: int,
    what: str,
    values: Sequence[np.ndarray] = (),
) -> np.ndarray | None:
    """Index of the item whose record each item is told, int64 [n]; None where it is told none.

    told: `told_codes` of the items. what: their name (`documents`, `questions`), which the draw
    depends on. values: `told_values` of each who is told, to whom what is wrong must say another
    value than the item's own. Raises UserError where the items do not allow the condition.
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
    drawn = of_another(told, rng)
    silent = np.zeros(n, bool)
    if len(values):
        silent = (np.concatenate(values) == NOTHING).all(0)
    drawn[silent] = np.flatnonzero(silent)
    # Most are told something else, and keep what was drawn; the rest draw among what is.
    again = ~silent & ~_wrong(told, values, np.arange(n), drawn)
    if not again.any():
        return drawn
    alike = np.unique(np.stack([told, *chain(*values)]), axis=1, return_inverse=True)[1].reshape(-1)
    for group in np.unique(alike[again]):
        mine = np.flatnonzero(again & (alike == group))
        others = np.flatnonzero(_wrong(told, values, mine[:1], np.arange(n)))
        if not len(others):
            raise UserError(
                f"wrong metadata needs {what} that differ in it, and for "
                f"{int((alike == group).sum())} of {n} none tells anything else"
            )
        drawn[mine] = rng.choice(others, len(mine))
    return drawn


def _wrong(
    told: np.ndarray, values: Sequence[np.ndarray], items: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Whether the record of each of `others` is wrong for each of `items`, which broadcast."""
    wrong = (told[others] != told[items]) & (told[others] != UNKNOWN)
    for of_reader in values:
        mine, theirs = of_reader[:, items], of_reader[:, others]
        another = (mine != NOTHING) & (theirs != NOTHING) & (theirs != mine)
        wrong &= another.any(0) | (mine == NOTHING).all(0)
    return wrong


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
