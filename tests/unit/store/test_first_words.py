"""First words as columns: what they hold, what a store without them does, what damage is named."""

import hashlib
import json

import numpy as np
import pytest

from data_prep.store_tools.merge import merge_stores
from data_prep.tokenise import first_words as written
from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.common.errors import UserError
from geo_nemo.config import MetadataPolicy
from geo_nemo.data.text_lengths import TextLengths
from geo_nemo.metadata.compose import Composer
from geo_nemo.metadata.first_words import NO_TOKEN, TokenKinds
from geo_nemo.metadata.seams import BLANK, PLAIN, STARTS_WORD
from geo_nemo.store import TokenStore
from geo_nemo.store.manifest import MANIFEST_NAME
from tests.support.older_stores import without_first_words
from tests.support.vocabularies import make_tokenizers
from tests.unit.metadata.test_control import SHAPES, template_of

MECO = MetadataPolicy(fields=("url",), template="meco")
TEXTS = [
    ("The day came", "The day of the end"),
    ("", "The day goes on and on"),
    ("No day", "We the day"),
    ("The the", "of the day"),
]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    tokenizer = make_tokenizers(folder)["llama_3"]
    return tokenizer, min((folder / "llama_3").iterdir(), key=lambda file: len(file.name))


def write(root, vocabulary, texts, start=0) -> TokenStore:
    tokenizer, path = vocabulary
    root.mkdir(parents=True)
    writer = StoreWriter(root, tokenizer, path, ["gb"], {"gb": "Europe"}, 3)
    documents = [StoreDocument("a.uk", "gb", f"/{n}", start + n + 1) for n in range(len(texts))]
    writer.add(
        "train",
        documents,
        [tokenizer.encode(f" {title}\n\n") if title else [] for title, _ in texts],
        [tokenizer.encode(f" {body}") for _, body in texts],
    )
    writer.finish({}, [])
    return TokenStore.open(root)


def shown(store: TokenStore) -> list[list[str]]:
    """The first words of titles and bodies as texts; empty for none that is known."""
    split, tokenizer = store.split("train"), store.tokenizer()
    words = split.words(np.arange(len(split)))
    known = np.unique(words[words > 0])
    texts = [
        tokenizer.decode([t for t in row if t >= 0])
        for row in split.first_words.tokens(known).tolist()
    ]
    of = dict(zip(known.tolist(), texts, strict=True)) | {0: ""}
    return [[of[word].strip() for word in part] for part in words.tolist()]


def lengths_equal_spliced(store: TokenStore, policy: MetadataPolicy = MECO) -> None:
    split, composer = store.split("train"), Composer(policy, store.tokenizer())
    documents = np.arange(len(split))
    for opened in (False, True):
        found = TextLengths(composer, split)(documents, np.full(len(split), opened))
        for place, document in enumerate(documents):
            spliced = composer.splice(*split.texts(document), opened)
            assert [part[place] for part in found] == list(map(len, spliced))


def test_a_word_is_numbered_where_the_next_one_starts(tmp_path, vocabulary):
    store = write(tmp_path / "s", vocabulary, TEXTS)
    titles, bodies = shown(store)
    assert titles == ["The", "", "No", "The"]
    assert bodies == ["The", "The", "We", "of"]
    first = store.shards("train")[0]
    assert first.column("body_start.bin").tolist() == [3, 3, 4]  # behind those of titles
    assert first.column("title_start.bin").tolist() == [1, 0, 2]
    lengths_equal_spliced(store)


@pytest.mark.parametrize("shape", SHAPES)
def test_words_behind_control_tokens_are_counted_too(tmp_path, vocabulary, shape):
    store = write(tmp_path / "s", vocabulary, TEXTS)
    (name,) = vocabulary[0].pieces([vocabulary[0].eos_id])
    policy = MetadataPolicy(fields=("url",), template=template_of(shape, name))
    lengths_equal_spliced(store, policy)


@pytest.mark.parametrize("older", [False, True])
def test_texts_are_spliced_alone_only_where_their_beginnings_tell_too_little(
    tmp_path, vocabulary, monkeypatch, older
):
    store = write(tmp_path / "s", vocabulary, [*TEXTS, ("", "The"), ("The day", "the")])
    if older:
        store = without_first_words(store, tmp_path / "older")
    split, composer = store.split("train"), Composer(MECO, store.tokenizer())
    splice, alone = composer.splice, []
    monkeypatch.setattr(composer, "splice", lambda *g: alone.append(g[1].tolist()) or splice(*g))
    read, asked = split.body_ends, []
    monkeypatch.setattr(split, "body_ends", lambda d, *g: asked.extend(d) or read(d, *g))
    TextLengths(composer, split)(np.arange(6), np.ones(6, bool))
    assert alone == [store.tokenizer().encode(text) for text in (" The", " the")]
    assert asked == (list(range(6)) if older else [4, 5])


def test_a_shard_numbers_no_more_words_than_it_may(tmp_path, vocabulary, monkeypatch):
    monkeypatch.setattr(written, "MOST_WORDS", 2)
    texts = [("", f"{word} day of") for word in ("The", "We", "No", "We", "So", "The")]
    store = write(tmp_path / "s", vocabulary, texts)
    # Three documents a shard.
    assert shown(store)[1] == ["The", "We", "", "We", "So", ""]
    assert not store.split("train").first_words.are_complete()
    lengths_equal_spliced(store)


def test_a_text_of_one_token_alone_has_no_first_word_that_is_known(tmp_path, vocabulary):
    assert len(vocabulary[0].encode(" the")) == 1
    for number, texts in enumerate([[("", "the")], [("", "The day"), ("", "the")]]):
        store = write(tmp_path / str(number), vocabulary, texts)
        assert not store.split("train").first_words.are_complete()
        lengths_equal_spliced(store)


@pytest.mark.parametrize("first", ["new", "old"])
def test_stores_are_merged_whether_both_have_first_words_or_one(tmp_path, vocabulary, first):
    new = write(tmp_path / "a", vocabulary, TEXTS)
    old = without_first_words(write(tmp_path / "b", vocabulary, TEXTS, start=9), tmp_path / "old")
    assert not old.split("train").first_words.number
    roots = [new.root, old.root]
    merge_stores(roots if first == "new" else roots[::-1], tmp_path / "both")
    both = TokenStore.open(tmp_path / "both", check_hashes=True)
    assert [sum(map(bool, part)) for part in shown(both)] == [3, 4]
    lengths_equal_spliced(both)
    assert new.split("train").first_words.are_complete()
    assert not both.split("train").first_words.are_complete()


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("body_start.bin", np.full(3, 9, np.uint8), "body_start.bin holds 9, above 4"),
        (
            "start_size.bin",
            np.array([1, 2, 9], np.uint8),
            "start_size.bin does not match start.bin",
        ),
        ("title_start.bin", None, "lacks title_start.bin"),
        ("start.bin", np.full(3, 65_535, np.uint16), "start.bin holds 65535, above"),
    ],
)
def test_damage_is_named(tmp_path, vocabulary, name, values, words):
    store = write(tmp_path / "s", vocabulary, TEXTS)
    manifest = json.loads((store.root / MANIFEST_NAME).read_bytes())
    shard = manifest["splits"]["train"]["shards"][0]
    if values is None:
        del shard["files"][name]
    else:
        data = values.tobytes()
        (store.root / shard["path"] / name).write_bytes(data)
        shard["files"][name] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        assert shard["files"][name]["dtype"] == values.dtype.name
    (store.root / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=words):
        TokenStore.open(store.root, check_hashes=True)


def test_tokens_that_are_none_of_the_vocabulary_begin_no_word():
    """A damaged store has any; they are told as such where sequences are built."""
    words = {1: STARTS_WORD, 2: PLAIN, 3: BLANK}
    kinds = TokenKinds(words, vocab_size=4)
    first = np.array(
        [[2, 9, 1, NO_TOKEN], [3, 2, 4, 1], [2**31 - 1, 1, 1, 1], [3, 1, 2, 1], [4, 3, 4, 3]],
        np.int32,
    )
    assert kinds(first).tolist() == [
        [PLAIN, PLAIN, STARTS_WORD, BLANK],
        [BLANK, PLAIN, PLAIN, STARTS_WORD],
        [PLAIN, *[STARTS_WORD] * 3],
        [BLANK, STARTS_WORD, PLAIN, STARTS_WORD],
        [PLAIN, BLANK, PLAIN, BLANK],
    ]
    assert kinds(first).dtype == np.int8
    assert kinds.second_words(first).tolist() == [2, 3, 1, 3, 0]
