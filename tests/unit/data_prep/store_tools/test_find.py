"""Documents found by number, hash and text."""

import pytest

from data_prep.store_tools.find import find_document
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from tests.unit.data_prep.store_tools.worlds import Text, content_hash, write_store


@pytest.fixture(scope="module")
def store(tokenizer_paths, tmp_path_factory):
    root = tmp_path_factory.mktemp("find") / "store"
    train = [
        Text(f"Story {i} of {'rain' if i % 4 == 3 else 'sun'}", f"Title {i}") for i in range(9)
    ]
    splits = {"train": train, "test": [Text("held out")]}
    return TokenStore.open(write_store(root, tokenizer_paths["llama_3"], splits, 4))


def test_a_document_by_its_number_or_the_first(store):
    assert find_document(store, "train") == 0
    assert find_document(store, "train", 8) == 8


def test_a_document_by_its_hash(store):
    wanted = f"{content_hash('Story 5 of sun'):016x}"
    assert find_document(store, "train", content_hash=wanted) == 5
    assert find_document(store, "train", content_hash="0x" + wanted) == 5


def test_a_document_by_its_text_from_a_number_on(store):
    assert find_document(store, "train", text="rain") == 3
    assert find_document(store, "train", 3, text="rain") == 3
    assert find_document(store, "train", 4, text="rain") == 7
    assert find_document(store, "train", text="Title 6") == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"index": 9}, "INDEX goes from 0 to 8, not 9"),
        ({"index": -1}, "INDEX goes from 0 to 8, not -1"),
        ({"content_hash": "rain"}, "give 16 hex digits"),
        ({"content_hash": "f" * 17}, "give 16 hex digits"),
        ({"content_hash": "1" * 16}, "no other split has it"),
        ({"content_hash": f"{content_hash('held out'):016x}"}, "it is in --split test"),
        ({"content_hash": "1" * 16, "index": 1}, "without INDEX"),
        ({"text": "snow"}, "from 0 on has the text 'snow'"),
        ({"index": 8, "text": "rain"}, "from 8 on"),
    ],
)
def test_what_is_not_there_is_one_line(store, arguments, words):
    with pytest.raises(UserError, match=words):
        find_document(store, "train", **arguments)


def test_unknown_and_empty_splits_are_one_line(store):
    with pytest.raises(UserError, match="has no split tets"):
        find_document(store, "tets")
    with pytest.raises(UserError, match=r"split validation .* is empty"):
        find_document(store, "validation")
