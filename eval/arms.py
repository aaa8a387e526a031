"""Which record a model is shown for each document, in each evaluation arm."""

import zlib

import numpy as np

from eval.config import Arm
from geo_nemo.config import UserError


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator of its own for each purpose, so that one draw never moves another."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def cyclic_permutation(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random permutation of n >= 2 items that is one cycle, so that no item keeps its place.

    Returns int64 [n]. Uniform over the (n - 1)! cycles.
    """
    order = rng.permutation(n)
    permutation = np.empty(n, dtype=np.int64)
    permutation[order] = np.roll(order, -1)
    return permutation


def other_country(country: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each item, a random item of another country.

    country: int [n] with at least two values. Returns int64 [n], indices of items. The draw is
    uniform over all items of the other countries, so frequent countries are drawn more often.
    """
    donors = np.empty(len(country), dtype=np.int64)
    by_country = np.argsort(country, kind="stable")
    values, starts, counts = np.unique(country[by_country], return_index=True, return_counts=True)
    for _, start, count in zip(values, starts, counts, strict=True):
        draws = rng.integers(len(country) - count, size=count)
        # Places at or after this country's block are moved behind it.
        draws[draws >= start] += count
        donors[by_country[start : start + count]] = by_country[draws]
    return donors


def donors(arm: Arm, country: np.ndarray, seed: int, what: str) -> np.ndarray | None:
    """Index of the item whose record each item is shown; None where it is shown none.

    what: name of the items (`documents`, `questions`), for the error and the seed.
    Raises UserError where the items do not allow the arm.
    """
    n = len(country)
    if arm == "without":
        return None
    if arm == "with":
        return np.arange(n)
    rng = generator(seed, f"{what}/{arm}")
    if arm == "shuffled":
        if n < 2:
            raise UserError(f"arm shuffled needs two {what}, there is {n}: leave it out of arms=")
        return cyclic_permutation(n, rng)
    if len(np.unique(country)) < 2:
        raise UserError(f"arm wrong_country needs {what} of two countries: leave it out of arms=")
    return other_country(country, rng)
