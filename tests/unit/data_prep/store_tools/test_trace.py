"""Texts traced to documents: beside a plain search of every document's words."""

import json
import re

import numpy as np
import pytest

from data_prep.store_tools import text_index as text_index_module
from data_prep.store_tools.text_index import Place, text_index
from data_prep.store_tools.trace import longest_run, trace
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import TEXTS_NAME
from tests.unit.data_prep.store_tools.worlds import Text, write_store

WORDS = (
    *("the", "a", "bridge", "river", "market", "fish", "price"),
    *("rose", "fell", "today", "said", "mayor", "new", "old"),
)


def story(seed, length=60):
    return " ".join(np.random.default_rng(seed).choice(WORDS, length))


SPLITS = {
    "train": [
        Text("The Mayor said: 'no bridge'\u2014caf\u00e9 and 25% more fish, today.", "Fish!", "gb"),
        *(Text(story(i), f"Title {i}", "ke", f"h{i % 3}.com", f"/{i}") for i in range(20)),
    ],
    "test": [Text(story(99), "Held out", "us", "z.com", "/99")],
}


@pytest.fixture(scope="module")
def store(tokenizer_paths, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace") / "store"
    return TokenStore.open(write_store(folder, tokenizer_paths["gpt_2"], SPLITS, 8))


@pytest.fixture(scope="module")
def index(store, tmp_path_factory):
    return text_index(store, tmp_path_factory.mktemp("index") / "i")


def plain_words(text):
    return re.findall(r"[^\W_]+", text.lower())


def every(store):
    tokenizer = store.tokenizer()
    for name in ("train", "test"):
        split = store.split(name)
        for i in range(len(split)):
            text = f"{tokenizer.decode(split.title(i))}\n{tokenizer.decode(split.body(i))}"
            yield Place(name, i), plain_words(text)


def stands_in(words, theirs):
    return any(theirs[j : j + len(words)] == words for j in range(len(theirs)))


def test_a_phrase_is_found_in_the_documents_that_a_plain_search_finds(store, index):
    documents = dict(every(store))
    generator = np.random.default_rng(1)
    for _ in range(60):
        words = documents[Place("train", int(generator.integers(21)))]
        length = int(generator.integers(2, 7))
        first = int(generator.integers(max(1, len(words) - length)))
        phrase = words[first : first + length]
        expected = {place for place, theirs in documents.items() if stands_in(phrase, theirs)}
        places, count = index.holding(phrase, 100)
        assert (set(places), count) == (expected, len(expected))


@pytest.mark.parametrize(
    "text",
    [
        "the mayor SAID no bridge",
        "no bridge - CAF\u00c9, and 25 more",
        "\u201cFish\u201d: the mayor",
    ],
)
def test_case_and_punctuation_do_not_matter(store, index, text):
    found = trace(store, index, text)
    assert (found.whole, found.sources[0].place) == (1, Place("train", 0))
    assert found.sources[0].shared == found.words == found.sources[0].covered


def test_a_part_is_traced_to_where_it_stands_and_the_longest_comes_first(store, index):
    documents = dict(every(store))
    mixed = [*documents[Place("train", 3)][10:30], "zebra", *documents[Place("test", 0)][5:20]]
    found = trace(store, index, " ".join(mixed), run=8)
    assert found.whole == 0
    first, second = found.sources[:2]
    assert (first.place, first.first, first.shared) == (Place("train", 3), 0, 20)
    assert (second.place, second.first, second.shared) == (Place("test", 0), 21, 15)
    assert first.excerpt == " ".join(mixed[:20])
    assert first.covered >= 20
    assert [s.shared for s in found.sources] == sorted(s.shared for s in found.sources)[::-1]


def test_nothing_shared_is_nothing_found(store, index):
    found = trace(store, index, "quantum zebra xylophone never seen in any of these documents")
    assert (found.whole, found.sources) == (0, ())
    with pytest.raises(UserError, match="3 words or more, not of 2"):
        trace(store, index, "two words")


def brute(words, theirs, run):
    longest, covered = 0, set()
    for i in range(len(words)):
        for k in range(1, len(words) - i + 1):
            if stands_in(words[i : i + k], theirs):
                longest = max(longest, k)
                covered |= set(range(i, i + k)) if k >= run else set()
    return longest, len(covered)


def test_longest_runs_are_those_of_a_plain_search():
    generator = np.random.default_rng(2)
    for _ in range(200):
        words = generator.choice(list("abc"), int(generator.integers(1, 12))).tolist()
        theirs = generator.choice(list("abc"), int(generator.integers(0, 12))).tolist()
        first, at, shared, covered = longest_run(words, theirs, 3)
        assert (shared, covered) == brute(words, theirs, 3)
        assert words[first : first + shared] == theirs[at : at + shared]


def test_it_is_made_once_and_again_for_another_store(store, tmp_path, tokenizer_paths, monkeypatch):
    text_index(store, tmp_path / "i")
    times = (tmp_path / "i" / TEXTS_NAME).stat().st_mtime_ns
    text_index(store, tmp_path / "i")
    assert (tmp_path / "i" / TEXTS_NAME).stat().st_mtime_ns == times
    other = write_store(
        tmp_path / "s", tokenizer_paths["gpt_2"], {"train": [Text("one two three")]}
    )
    again = text_index(TokenStore.open(other), tmp_path / "i")
    assert again.holding(["one", "two"], 5)[1] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "s"]


def test_it_is_whole_or_absent_and_takes_no_folder_of_others(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(text_index_module, "_write", full)
    with pytest.raises(UserError, match="No space left"):
        text_index(store, tmp_path / "i")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(UserError, match="exists and is no index of texts"):
        text_index(store, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_without_the_library_a_line_says_what_to_install(store, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tantivy", None)
    with pytest.raises(UserError, match=r"pip install 'geo-nemo\[trace\]'"):
        text_index(store, tmp_path / "i")


def test_the_index_tells_which_store_it_is_of(store, tmp_path):
    text_index(store, tmp_path / "i")
    assert json.loads((tmp_path / "i" / TEXTS_NAME).read_text())["store"] == store.hash
