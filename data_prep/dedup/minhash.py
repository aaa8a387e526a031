"""MinHash signatures of texts over word n-grams, and the keys of their LSH bands.

A minimum is taken over `odd number x n-gram hash` modulo 2^32, one odd number for each of the
bands x rows minima; a signature keeps 16 bits of each. Broder (1997); bands after Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, chapter 3.

Two texts of Jaccard similarity J are candidates with probability 1 - (1 - J^rows)^bands, and pass
when at least `similarity` of their minima are equal, a binomial share with mean J. Both together,
for the default 26 bands of 7 rows and 0.73:

    J      0.6    0.65   0.7    0.75   0.8    0.82   0.85   0.9
    found  0.000  0.012  0.202  0.749  0.989  0.998  1.000  1.000

(14 bands of 8 rows, a common choice, make .924 of the pairs at 0.8 candidates.)
"""

from dataclasses import dataclass

import numpy as np

from data_prep.config.dedup import Near
from data_prep.dedup.word_hashes import blocks, ngram_hashes, text_bytes, word_hashes
from data_prep.hashes import mix, odd_numbers

MINHASH_VERSION = "1"


@dataclass(frozen=True)
class Signatures:
    """minima: uint16 [n, bands * rows]; bands: uint64 [n, bands]; some: bool [n], has words.

    Where a text has no words, its minima and keys are 0 and mean nothing.
    """

    minima: np.ndarray
    bands: np.ndarray
    some: np.ndarray


def signatures(texts, near: Near) -> Signatures:
    """Of a pyarrow string array."""
    data, offsets = text_bytes(texts)
    count = near.bands * near.rows
    multipliers = (odd_numbers(count, seed=7) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    factors = _factors(multipliers)
    minima = np.zeros((len(texts), count), np.uint16)
    bands = np.zeros((len(texts), near.bands), np.uint64)
    some = np.zeros(len(texts), bool)
    for first, last in blocks(offsets):
        grams = ngram_hashes(word_hashes(data, offsets[first : last + 1]), near.ngram)
        full = np.flatnonzero(grams.counts)
        if not len(full):
            continue
        values = (grams.values >> np.uint64(32)).astype(np.uint32)
        block = _minima(values, grams.offsets[full], factors)
        rows = full + first
        some[rows] = True
        minima[rows] = (block ^ (block >> np.uint32(16))).astype(np.uint16).T
        bands[rows] = _band_keys(block, near.bands, near.rows)
    return Signatures(minima, bands, some)


def _factors(multipliers: np.ndarray) -> np.ndarray:
    """uint32 [k]: what leads from a value times each multiplier to that times the next, mod 2^32.

    The first is the first multiplier itself. All are odd, so each has an inverse, which five of
    Newton's steps find: each doubles the bits that are right, of which an odd number has three.
    """
    inverse = multipliers.copy()
    for _ in range(5):
        inverse *= np.uint32(2) - multipliers * inverse
    return np.concatenate([multipliers[:1], multipliers[1:] * inverse[:-1]])


def _minima(values: np.ndarray, starts: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """uint32 [k, n]: the least `multiplier x value` of each text; `starts` [n] into `values`.

    The products take the place of `values`, each those of the multiplier before, so that half as
    much memory is gone through.
    """
    out = np.empty((len(factors), len(starts)), np.uint32)
    for factor, row in zip(factors, out, strict=True):
        np.multiply(values, factor, out=values)
        np.minimum.reduceat(values, starts, out=row)
    return out


def _band_keys(minima: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint32 [bands * rows, n] -> uint64 [n, bands]."""
    place = odd_numbers(rows, seed=11)
    by_band = minima.reshape(bands, rows, -1)
    keys = np.zeros((bands, minima.shape[1]), np.uint64)
    for row in range(rows):
        keys += by_band[:, row] * place[row]
    return mix(keys).T
