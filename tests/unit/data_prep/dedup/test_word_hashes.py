"""Words and n-grams by bytes are those of a plain regular expression."""

import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.dedup.word_hashes import Hashes, blocks, ngram_hashes, text_bytes, word_hashes

# Letters and digits that str.isalnum() and the byte classes agree on, and separators.
_ALPHABET = "abzABZ059_ .,;-\n\t'\"éÉñßжЖλ–—“”’\u00a0«»"
texts = st.lists(st.text(_ALPHABET, max_size=40), max_size=8)


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def hashes_of(strings: list[str]) -> Hashes:
    return word_hashes(*text_bytes(pa.array(strings, pa.string())))


def grams_of(words: list[str], n: int) -> set[tuple[str, ...]]:
    if len(words) < n:
        return {tuple(words)} if words else set()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def by_text(hashes: Hashes) -> list[list[int]]:
    return [hashes.values[a:b].tolist() for a, b in pairwise(hashes.offsets)]


@given(texts)
@settings(max_examples=200, deadline=None)
def test_two_words_have_one_hash_exactly_when_they_are_equal_in_lower_case(strings):
    names: dict[int, str] = {}
    for text, found in zip(strings, by_text(hashes_of(strings)), strict=True):
        words = words_of(text)
        assert len(found) == len(words)
        for word, value in zip(words, found, strict=True):
            assert names.setdefault(value, word) == word
    assert len(set(names.values())) == len(names)


@given(texts, st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_n_grams_of_two_texts_meet_as_their_tuples_of_words_do(strings, n):
    found = [set(part) for part in by_text(ngram_hashes(hashes_of(strings), n))]
    oracle = [grams_of(words_of(text), n) for text in strings]
    for i in range(len(strings)):
        assert len(found[i]) == len(oracle[i])
        for j in range(i):
            assert len(found[i] & found[j]) == len(oracle[i] & oracle[j])


def test_scripts_without_spaces_give_a_word_for_each_character():
    counts = hashes_of(["東京 abc大阪", "ไทย", "မြန်", "ខ្ម", "a😀b", "、。東"]).counts
    assert counts.tolist() == [5, 3, 4, 3, 3, 1]


def test_words_that_differ_only_after_eight_or_sixty_four_bytes_differ():
    long = ["abcdefgh", "abcdefghi", "abcdefghj", "x" * 64, "x" * 65, "x" * 64 + "y", "x" * 1000]
    assert len(set(hashes_of(long).values.tolist())) == len(long)


def test_a_slice_of_an_array_has_the_words_of_its_own_texts():
    array = pa.array(["one two", "three", "", "four five six"], pa.string())
    whole = by_text(word_hashes(*text_bytes(array)))
    assert by_text(word_hashes(*text_bytes(array.slice(1, 3)))) == whole[1:]


def test_no_texts_and_empty_texts_have_no_words():
    assert hashes_of([]).offsets.tolist() == [0]
    assert hashes_of(["", " .. ", ""]).counts.tolist() == [0, 0, 0]
    assert ngram_hashes(hashes_of(["", " .. ", ""]), 5).counts.tolist() == [0, 0, 0]


def test_a_short_text_is_no_n_gram_of_a_longer_one():
    short, long = by_text(ngram_hashes(hashes_of(["a b c", "a b c d e f"]), 5))
    assert len(short) == 1 and len(long) == 2 and not set(short) & set(long)


@pytest.mark.parametrize("limit", [1, 5, 1000])
def test_blocks_are_all_texts_in_order(limit):
    offsets = np.array([0, 0, 3, 10, 10, 12])
    found = list(blocks(offsets, limit))
    assert [i for first, last in found for i in range(first, last)] == [0, 1, 2, 3, 4]
    assert all(
        last - first == 1 or offsets[last] - offsets[first] <= limit for first, last in found
    )


@pytest.mark.parametrize("texts", [["ab", "", "", "c"], ["ab", "c1"], ["中", "", "b中"], ["", ""]])
def test_words_of_texts_that_touch_are_those_of_each_alone(texts):
    together = word_hashes(*text_bytes(pa.array(texts)))
    alone = [word_hashes(*text_bytes(pa.array([text]))).values for text in texts]
    assert together.counts.tolist() == list(map(len, alone))
    assert together.values.tolist() == np.concatenate(alone).tolist()
