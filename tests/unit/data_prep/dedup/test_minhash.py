"""Signatures estimate the Jaccard similarity that sets of n-grams have."""

import numpy as np
import pyarrow as pa
import pytest

from data_prep.config import Near
from data_prep.dedup.minhash import Signatures, _factors, _minima, signatures
from tests.unit.data_prep.dedup.corpora import edited, jaccard, text_of

NEAR = Near(action="drop")


def of(texts: list[str], near: Near = NEAR) -> Signatures:
    return signatures(pa.array(texts, pa.string()), near)


def test_minima_are_the_least_product_of_each_text_with_each_multiplier():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 1 << 32, 500, np.uint32)
    multipliers = rng.integers(0, 1 << 32, 40, np.uint32) | np.uint32(1)
    starts = [0, 1, 9, 300]
    texts = [part.tolist() for part in np.split(values, starts[1:])]
    expected = [[min(m * v % 2**32 for v in text) for text in texts] for m in multipliers.tolist()]
    assert _minima(values, np.array(starts), _factors(multipliers)).tolist() == expected


@pytest.mark.parametrize("words", [30, 100, 400])
def test_the_estimate_has_no_bias_and_the_spread_of_independent_minima(words):
    bases = [text_of(i, words) for i in range(400)]
    others = [edited(text, (i % 10) / 100, i) for i, text in enumerate(bases)]
    exact = [jaccard(a, b) for a, b in zip(bases, others, strict=True)]
    estimate = (of(bases).minima == of(others).minima).mean(axis=1)
    errors = estimate - exact
    spread = sum(j * (1 - j) for j in exact) / (NEAR.bands * NEAR.rows)
    assert abs(errors.mean()) < 4 * (spread / len(exact) ** 2) ** 0.5
    assert 0.7 < (errors**2).sum() / spread < 1.3


def test_pairs_of_similarity_at_least_0_8_are_found_and_those_below_0_6_are_not():
    bases = [text_of(i, 300) for i in range(1500)]
    others = [edited(text, 0.005 + (i % 9) * 0.009, i) for i, text in enumerate(bases)]
    a, b = of(bases), of(others)
    estimate = (a.minima == b.minima).mean(axis=1)
    found = (a.bands == b.bands).any(axis=1) & (estimate >= NEAR.similarity)
    exact = [jaccard(x, y) for x, y in zip(bases, others, strict=True)]
    near = [f for f, j in zip(found, exact, strict=True) if j >= 0.8]
    far = [f for f, j in zip(found, exact, strict=True) if j < 0.6]
    assert len(near) > 300 and len(far) > 100
    assert sum(near) / len(near) >= 0.98
    assert sum(far) <= 1


def test_a_signature_depends_on_its_text_alone():
    texts = [text_of(i, 50 + i) for i in range(40)] + ["", "short", "東京" * 20]
    whole = of(texts)
    for i in (0, 17, 40, 41, 42):
        alone = of([texts[i]])
        assert (alone.minima[0] == whole.minima[i]).all()
        assert (alone.bands[0] == whole.bands[i]).all()
        assert alone.some[0] == whole.some[i] == (i != 40)


def test_case_white_space_and_punctuation_do_not_tell_texts_apart():
    found = of(["The council met, on Monday - again.", "the COUNCIL met on\nmonday “again”"])
    assert (found.minima[0] == found.minima[1]).all()


def test_short_texts_are_near_when_all_their_words_are_equal():
    found = of(["Read more", "read more!", "Read more here", "Read"])
    equal = (found.minima == found.minima[:1]).mean(axis=1)
    assert equal[1] == 1 and equal[2] < 0.1 and equal[3] < 0.1


def test_bands_are_keys_of_their_own_rows():
    near = Near(action="drop", bands=3, rows=2)
    texts = [text_of(1), edited(text_of(1), 0.05, 2)]
    found = of(texts, near)
    for band in range(3):
        rows = slice(2 * band, 2 * band + 2)
        same_rows = (found.minima[0, rows] == found.minima[1, rows]).all()
        assert same_rows == (found.bands[0, band] == found.bands[1, band])
