"""64-bit hashes of many pieces of one buffer at once, in NumPy."""

import numpy as np
import xxhash

STEP = 8
_LONG = 64
_MASK = np.array([(1 << 8 * n) - 1 for n in range(STEP + 1)], np.uint64)


def mix(x: np.ndarray) -> np.ndarray:
    """uint64 -> uint64: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014), in place."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def odd_numbers(count: int, seed: int) -> np.ndarray:
    """uint64 [count] odd numbers that look random."""
    start = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64)
    return mix(start * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


def first_bytes(padded: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """uint64 [w]: the first 8 bytes of each piece as one number, those of a shorter one alone.

    padded: uint8, STEP bytes longer than the pieces reach. lengths: int64 [w], 0 and more.
    """
    # The 8 bytes from every byte on, as one number each.
    at = np.ndarray((len(padded) - STEP + 1,), "<u8", padded, 0, (1,))
    found = at[starts]
    found &= _MASK.take(lengths, mode="clip")  # twice as quick as by an index
    return found


def piece_hashes(padded: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """uint64 [w]: hashes of pieces, as `first_bytes` takes them.

    A piece of up to 64 bytes is hashed 8 bytes a step; a longer one by xxh3.
    """
    hashes = first_bytes(padded, starts, lengths)
    hashes += lengths.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mix(hashes)
    more = np.flatnonzero(lengths > STEP)
    # Of the pieces that go on: where, how many bytes are left, and their hashes so far.
    at, left, found = starts[more], lengths[more], hashes[more]
    if (left > _LONG).any():
        for i in more[left > _LONG]:
            piece = padded[starts[i] : starts[i] + lengths[i]].tobytes()
            hashes[i] = xxhash.xxh3_64_intdigest(piece)
        kept = left <= _LONG
        more, at, left, found = more[kept], at[kept], left[kept], found[kept]
    while len(more):
        at += STEP
        left -= STEP
        step = first_bytes(padded, at, left)
        step ^= found * np.uint64(0xD6E8FEB86659FD93)
        hashes[more] = mix(step)
        longer = left > STEP
        more, at, left, found = more[longer], at[longer], left[longer], step[longer]
    return hashes
