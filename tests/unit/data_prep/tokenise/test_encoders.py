"""Fast encoders: the reference's ids for any text, and the reference where that cannot be had."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from data_prep.tokenise.encoders import (
    HARD_TEXTS,
    QuickEncoder,
    ReferenceEncoder,
    choose_encoder,
    first_difference,
    first_unequal,
)
from data_prep.tokenise.shard_writer import Tokens
from geo_nemo.tokenizers import by_word as words
from geo_nemo.tokenizers.by_word import WordEncoder, why_not_by_words
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data_prep.tokenise.worlds import BOS, EOS, LINES, WRITERS, write_sentencepiece

NAMES = {
    "tokenizer.model": ("sentencepiece by words", "sentencepiece"),
    "tokenizer.json": ("fastokens", "tokenizers"),
    "tokenizer.tiktoken": ("fastokens", "tiktoken"),
}
CONTROL = [BOS, EOS, "<s>", "</s>", "<unk>", "<0x0A>", "\u2581", "TITLE:", "\n", " ", "  "]
TEXTS = st.lists(st.sampled_from(CONTROL + LINES) | st.text(max_size=8), max_size=12)


def load(folder, name):
    path = WRITERS[name](folder / name)
    tokenizer = load_tokenizer(path)
    return path, tokenizer, choose_encoder(path, tokenizer)


@pytest.fixture(scope="module", params=sorted(WRITERS))
def loaded(request, tmp_path_factory):
    return load(tmp_path_factory.mktemp("t"), request.param)


@pytest.fixture(scope="module", params=["tokenizer.json", "tokenizer.tiktoken"])
def of_fastokens(request, tmp_path_factory):
    return load(tmp_path_factory.mktemp("t"), request.param)


def lists(tokens: Tokens) -> list[list[int]]:
    ends = np.cumsum(tokens.lengths)
    return [tokens.ids[e - n : e].tolist() for e, n in zip(ends, tokens.lengths, strict=True)]


def test_which_encoder_does_it(loaded):
    path, _, choice = loaded
    assert (choice.encoder.name, choice.reference.name) == NAMES[path.name]
    assert choice.reason == ""


@settings(max_examples=150)
@given(texts=st.lists(TEXTS.map("".join), max_size=5))
def test_ids_are_those_of_the_tokenizer_for_any_texts(loaded, texts):
    _, tokenizer, choice = loaded
    expected = [tokenizer.encode(text) for text in texts]
    assert lists(choice.encoder.encode(texts)) == expected
    assert lists(choice.reference.encode(texts)) == expected


@settings(max_examples=60)
@given(parts=TEXTS)
def test_no_text_becomes_a_control_token(loaded, parts):
    _, tokenizer, choice = loaded
    ids = choice.encoder.encode(["".join(parts)]).ids.tolist()
    assert not {tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id} & set(ids)


def test_lone_surrogates_become_the_replacement_character_and_pairs_are_joined(loaded):
    _, tokenizer, choice = loaded
    texts = ["plain", " a\ud800b \ud83d\ude00", "\udfff"]
    expected = [tokenizer.encode(text) for text in ("plain", " a\ufffdb 😀", "\ufffd")]
    assert lists(choice.encoder.encode(texts)) == expected


def test_ids_are_in_the_narrowest_type(loaded):
    _, _, choice = loaded
    assert choice.encoder.encode(list(HARD_TEXTS)).ids.dtype == np.uint16
    assert choice.encoder.encode([]).ids.dtype == np.uint16


def test_the_cache_of_words_is_bounded_and_changes_no_id(tmp_path, monkeypatch):
    path, tokenizer, _ = load(tmp_path, "tokenizer.model")
    monkeypatch.setattr(words, "CACHED_WORDS", 8)
    words_alone = WordEncoder(path, tokenizer.vocab_size)
    encoder = QuickEncoder(words_alone, tokenizer, ReferenceEncoder(tokenizer))
    texts = [f" w{n} w{n % 5} {'x' * 100}" for n in range(50)]
    assert lists(encoder.encode(texts)) == [tokenizer.encode(text) for text in texts]
    assert len(words_alone._words) <= 8
    assert max(map(len, words_alone._words)) <= 48


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "unigram", "vocab_size": 320}, "is not BPE"),
        ({"add_dummy_prefix": True}, "changes white space or characters"),
        ({"remove_extra_whitespaces": True}, "changes white space or characters"),
        ({"normalization_rule_name": "nmt_nfkc"}, "changes white space or characters"),
        ({"split_by_whitespace": False, "vocab_size": 500}, "pieces of more than one word"),
        ({"treat_whitespace_as_suffix": True}, "pieces of more than one word"),
        ({"user_defined_symbols": ["of the"]}, "pieces of more than one word"),
        ({"user_defined_symbols": [" the"]}, "pieces of more than one word"),
    ],
)
def test_models_whose_texts_are_not_their_words_are_left_to_sentencepiece(
    tmp_path, options, reason
):
    path = write_sentencepiece(tmp_path / "spm.model", **options)
    assert reason in why_not_by_words(path)
    tokenizer = load_tokenizer(path)
    choice = choose_encoder(path, tokenizer)
    assert choice.encoder.name == "sentencepiece"
    assert reason in choice.reason
    assert lists(choice.encoder.encode(LINES[:3])) == [tokenizer.encode(t) for t in LINES[:3]]


def test_a_vocabulary_that_fastokens_cannot_load_is_left_to_tokenizers(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "?": 2, "news": 3}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    loaded = load_tokenizer(path)
    choice = choose_encoder(path, loaded)
    assert choice.encoder.name == "tokenizers"
    assert choice.encoder is choice.reference
    assert choice.reason.startswith("fastokens cannot be used: ")
    assert lists(choice.encoder.encode(["news and news"])) == [[3, 2, 3]]


class Shifted:
    """An encoder that is wrong about one text."""

    name = "shifted"

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    def encode(self, texts):
        found = map(self._tokenizer.encode, texts)
        wrong = [ids[::-1] if "Łódź" in text else ids
                 for ids, text in zip(found, texts, strict=True)]  # fmt: skip
        return np.concatenate(wrong).astype(int), np.array([len(w) for w in wrong])


def test_an_encoder_that_differs_on_a_hard_text_is_not_taken(of_fastokens, monkeypatch):
    path, tokenizer, _ = of_fastokens
    monkeypatch.setattr(tokenizer, "flat_encoder", lambda path: Shifted(tokenizer))
    choice = choose_encoder(path, tokenizer)
    assert choice.encoder is choice.reference
    assert choice.reason.startswith("shifted has other ids for ' naïve Łódź")
    reference = ReferenceEncoder(tokenizer)
    quick = QuickEncoder(Shifted(tokenizer), tokenizer, reference)
    assert first_difference(quick, reference, ["a", " Łódź ab"]) == 1


def test_the_reference_can_be_asked_for(loaded):
    path, tokenizer, _ = loaded
    choice = choose_encoder(path, tokenizer, reference_only=True)
    assert choice.encoder is choice.reference
    assert "differed" in choice.reason


def test_what_fastokens_refuses_the_reference_does(of_fastokens, monkeypatch):
    _, tokenizer, choice = of_fastokens

    class Refuses:
        def encode_batch_flat(self, *arguments):
            raise ValueError("match limit exceeded")

    encoder = choice.encoder
    monkeypatch.setattr(encoder._encoder, "_backend", Refuses())
    assert lists(encoder.encode(LINES[:2])) == [tokenizer.encode(line) for line in LINES[:2]]


@pytest.mark.parametrize(
    ("ids", "lengths", "at"),
    [
        ([1, 2, 3], [1, 2], None),
        ([1, 2, 4], [1, 2], 1),
        ([1, 2, 3], [2, 1], 0),
        ([1, 2], [0, 2], 0),
    ],
)
def test_the_first_text_with_other_ids_is_named(ids, lengths, at):
    right = Tokens(np.array([1, 2, 3]), np.array([1, 2]))
    assert first_unequal(Tokens(np.array(ids), np.array(lengths)), right) == at
