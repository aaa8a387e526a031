"""Hashes of pieces, against the same arithmetic on Python's whole numbers."""

import numpy as np
import pytest
import xxhash

from data_prep.hashes import STEP, piece_hashes

_ALL = (1 << 64) - 1


def mixed(x: int) -> int:
    """The finalizer of SplitMix64."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _ALL
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _ALL
    return x ^ x >> 31


def hash_of(piece: bytes) -> int:
    if len(piece) > 64:
        return xxhash.xxh3_64_intdigest(piece)
    first = int.from_bytes(piece[:8], "little")
    found = mixed(first + len(piece) * 0x9E3779B97F4A7C15 & _ALL)
    for start in range(8, len(piece), 8):
        step = int.from_bytes(piece[start : start + 8], "little")
        found = mixed(step ^ found * 0xD6E8FEB86659FD93 & _ALL)
    return found


@pytest.mark.parametrize("longest", [7, 8, 20, 64, 200])
def test_a_piece_of_any_length_has_its_hash_among_others(longest):
    rng = np.random.default_rng(longest)
    lengths = rng.integers(0, longest + 1, 300)
    starts = np.cumsum(lengths + 1) - lengths - 1
    data = rng.integers(0, 256, starts[-1] + lengths[-1] + STEP, np.uint8)
    pieces = [data[s : s + n].tobytes() for s, n in zip(starts, lengths, strict=True)]
    assert piece_hashes(data, starts, lengths).tolist() == list(map(hash_of, pieces))
