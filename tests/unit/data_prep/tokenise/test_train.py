"""The trained tokenizer: labels are pieces, every text round-trips, and training repeats."""

import re

import pytest

from data_prep.tokenise.train import LABELS, train_sentencepiece
from geo_nemo.config import UserError
from tests.unit.data_prep.worlds import records

TEXTS = [f"{r['title']}\n{r['text']}" for r in records(60)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_sentencepiece(TEXTS, 400, tmp_path_factory.mktemp("t") / "tokenizer.model")


def test_ids_and_size(tokenizer):
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, 3)
    assert tokenizer.vocab_size == 400


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_one_token(tokenizer, label):
    assert tokenizer.pieces(tokenizer.encode(label)) == [label]


@pytest.mark.parametrize(
    "text", [" The council", "  two  spaces ", "\n\n", "tab\tŁódź 東京 😀\u00a0"]
)
def test_texts_round_trip_with_their_white_space(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_parts_of_a_prefix_cut_before_the_newline_tokenise_as_the_whole(tokenizer):
    parts = ["URL: news.co.uk", "\nCOUNTRY: gb", "\nCONTINENT: Europe", "\n\n", "TITLE:",
             " The council\n\n", "CONTENT:", " It met on tuesday"]  # fmt: skip
    apart = [token for part in parts for token in tokenizer.encode(part)]
    assert apart == tokenizer.encode("".join(parts))


def test_training_again_gives_the_same_bytes(tokenizer, tmp_path):
    again = train_sentencepiece(TEXTS, 400, tmp_path / "other.model")
    assert again.sha256 == tokenizer.sha256


def test_too_large_a_vocabulary_is_a_user_error_that_names_the_largest(tmp_path):
    with pytest.raises(UserError, match=r"vocab_size=50000 .* set it to \d+ or less"):
        train_sentencepiece(TEXTS, 50_000, tmp_path / "t.model")
    assert not (tmp_path / "t.model").exists()


def test_too_small_a_vocabulary_is_a_user_error_that_names_the_least(tmp_path):
    texts = [" ".join(map(chr, range(0x4E00, 0x4E00 + 200)))] * 3
    with pytest.raises(UserError) as error:
        train_sentencepiece(texts, 300, tmp_path / "t.model")
    said = re.fullmatch(
        r"tokenizer\.vocab_size=300 is too small for the characters of the train texts: "
        r"set it to (\d+) or more",
        str(error.value),
    )
    # 4 control tokens, 256 bytes, 6 labels, 200 characters, the blank.
    least = 4 + 256 + 6 + 200 + 1
    assert int(said[1]) == least
    assert not (tmp_path / "t.model").exists()
    with pytest.raises(UserError, match=f"set it to {least} or more"):
        train_sentencepiece(texts, least - 1, tmp_path / "t.model")
    assert train_sentencepiece(texts, least, tmp_path / "t.model").vocab_size == least


def test_lines_longer_than_sentencepieces_limit_are_learned_from(tmp_path):
    tokenizer = train_sentencepiece(
        ["zebra quagga okapi lynx " * 20_000], 300, tmp_path / "t.model"
    )
    assert len(tokenizer.encode(" zebra")) <= 2
