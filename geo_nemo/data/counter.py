"""Randomness by counter: the value for an element depends on a key and the element alone.

Nothing has to be drawn in order, so any rank, worker or restarted run finds the same dropout and
the same shuffle, and no permutation is held in memory. The streams are SplitMix64 (Steele, Lea and
Flood, OOPSLA 2014), independent of the version of NumPy and of PYTHONHASHSEED.
"""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_FEISTEL_ROUNDS = 8
# Below this a Feistel network has too few bits to look random, and sorting costs less.
_SORTED_UP_TO = 1024


def derive_key(*parts: int | str) -> int:
    """A 64-bit key from a list of names and numbers; any difference gives another key."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hash64(key: int, counters: np.ndarray) -> np.ndarray:
    """Elements `counters` of the SplitMix64 stream that starts at `key`; uint64, same shape."""
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (counters.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def uniform(key: int, counters: np.ndarray) -> np.ndarray:
    """Uniform float64 in [0, 1) for each counter, with 53 random bits."""
    return (hash64(key, counters) >> np.uint64(11)) * 2.0**-53


def permute(key: int, size: int, places: np.ndarray) -> np.ndarray:
    """What a seeded permutation of range(size) holds at `places`; int64, same shape.

    A Feistel network over the next power of two, walked until it falls inside the range, so that
    one place costs the same in a permutation of any size.
    """
    if size <= _SORTED_UP_TO:
        return np.argsort(hash64(key, np.arange(size)), kind="stable")[places]
    bits = (size - 1).bit_length()
    round_keys = [derive_key(key, r) for r in range(_FEISTEL_ROUNDS)]
    result = _feistel(round_keys, bits, places.astype(np.uint64))
    outside = np.flatnonzero(result >= size)
    while len(outside):
        walked = _feistel(round_keys, bits, result[outside])
        result[outside] = walked
        outside = outside[walked >= size]
    return result.astype(np.int64)


def _feistel(round_keys: list[int], bits: int, x: np.ndarray) -> np.ndarray:
    """One pass over values of `bits` bits; a bijection, because each round XORs one half."""
    low_bits = np.uint64(bits // 2)
    low_mask = (np.uint64(1) << low_bits) - np.uint64(1)
    high_mask = (np.uint64(1) << np.uint64(bits - bits // 2)) - np.uint64(1)
    low, high = x & low_mask, x >> low_bits
    for place, key in enumerate(round_keys):
        if place % 2:
            high = high ^ (hash64(key, low) & high_mask)
        else:
            low = low ^ (hash64(key, high) & low_mask)
    return (high << low_bits) | low
