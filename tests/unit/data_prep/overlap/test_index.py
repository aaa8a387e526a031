"""N-grams of evaluation texts are found as plain sets of tuples of words find them."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.dedup.word_hashes import Hashes, text_bytes, word_hashes
from data_prep.overlap import index as index_module
from data_prep.overlap.grams import MIN_WORDS, item_grams, prefix_words
from data_prep.overlap.index import Index, build_index, find_matches

texts = st.lists(st.text("ab ", max_size=40), max_size=8)


def words(strings: list[str]) -> Hashes:
    return word_hashes(*text_bytes(pa.array(strings, pa.string())))


def index_of(items: list[str], n: int) -> Index:
    return build_index(item_grams(words(items), n), len(items), prefix_words(n))


def found(items: list[str], documents: list[str], n: int) -> dict[tuple[int, int], int]:
    matches = find_matches(words(documents), index_of(items, n))
    pairs = zip(matches.documents.tolist(), matches.texts.tolist(), strict=True)
    return dict(zip(pairs, matches.shared.tolist(), strict=True))


def grams(text: str, n: int) -> set[tuple[str, ...]]:
    tokens = re.findall(r"\w+", text.lower())
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}


def oracle(items: list[str], documents: list[str], n: int) -> dict[tuple[int, int], int]:
    shared = {}
    for j, item in enumerate(items):
        count = len(item.split())
        if count >= MIN_WORDS:
            length = min(count, n)
            for i, document in enumerate(documents):
                both = len(grams(item, length) & grams(document, length))
                if both:
                    shared[i, j] = both
    return shared


@given(texts, texts, st.integers(3, 8))
@settings(max_examples=200, deadline=None)
def test_shared_n_grams_are_those_of_plain_sets(items, documents, n):
    assert found(items, documents, n) == oracle(items, documents, n)


@given(texts, st.integers(3, 8))
@settings(max_examples=100, deadline=None)
def test_totals_are_the_distinct_n_grams_of_each_text(items, n):
    expected = []
    for item in items:
        count = len(item.split())
        expected.append(len(grams(item, min(count, n))) if count >= MIN_WORDS else 0)
    assert index_of(items, n).totals.tolist() == expected


def test_a_short_text_is_found_in_a_document_only_with_all_its_words_in_a_row():
    items = ["Who won the final in Lagos?"]
    documents = [
        "they asked: who won the FINAL in Lagos, and when",
        "who won the final in Abuja",
        "who won the final",
        "won the final in Lagos who",
    ]
    assert found(items, documents, 13) == {(0, 0): 1}


def test_a_text_of_fewer_than_five_words_is_not_looked_for():
    assert found(["who won the cup", "who won the cup today"], ["who won the cup today"], 13) == {
        (0, 1): 1
    }


def test_words_of_two_documents_in_a_row_make_no_match():
    assert found(["one two three four five six"], ["one two three", "four five six"], 13) == {}


def test_the_fraction_is_inclusive_and_counted_in_distinct_n_grams():
    item = " ".join(f"w{i}" for i in range(8))  # six 3-grams
    index = index_of([item], 3)
    for last, enough in ((4, False), (5, True), (8, True)):
        document = " ".join(f"w{i}" for i in range(last)) + " other " + "w0 w1 w2 " * 5
        matches = find_matches(words([document]), index).of_fraction(0.5, index.totals)
        assert (len(matches.texts) == 1) == enough


def test_an_n_gram_of_more_texts_than_the_limit_counts_for_the_first_ones(monkeypatch):
    monkeypatch.setattr(index_module, "MAX_TEXTS", 3)
    items = ["all rights are now reserved"] * 5 + ["quite another text of words"]
    documents = ["all rights are now reserved", "quite another text of words"]
    assert set(found(items, documents, 5)) == {(0, 0), (0, 1), (0, 2), (1, 5)}


@pytest.mark.parametrize("items", [[], ["too short"]])
def test_an_index_of_nothing_finds_nothing(items):
    assert found(items, ["one two three four five six"], 13) == {}


def test_an_index_is_the_same_after_a_round_trip(tmp_path):
    index = index_of(["one two three four five six", "a b c d e"], 5)
    index.save(tmp_path)
    loaded = Index.load(tmp_path)
    for name in Index.__dataclass_fields__:
        assert np.array_equal(getattr(loaded, name), getattr(index, name))
