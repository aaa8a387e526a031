"""Tokenizers: round trips, control tokens that stay out of text, and unusable files."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from geo_nemo.config import UserError
from geo_nemo.tokenizers.base import scrub
from geo_nemo.tokenizers.load import load_tokenizer

LINES = ["the news of the world", "weather and the news"] * 4
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"


def sentencepiece_model(**options) -> bytes:
    settings_ = {
        "model_type": "bpe",
        "vocab_size": 300,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "minloglevel": 2,
    }
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, **(settings_ | options)
    )
    return model.getvalue()


def huggingface_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=[BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "spm.model").write_bytes(sentencepiece_model())
    huggingface_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module", params=["spm.model", "tokenizer.json"])
def tokenizer(files, request):
    return load_tokenizer(files / request.param)


def test_kind_and_ids(files):
    spm, hf = load_tokenizer(files / "spm.model"), load_tokenizer(files / "tokenizer.json")
    assert (spm.kind, spm.bos_id, spm.eos_id, spm.pad_id, spm.vocab_size) == (
        "sentencepiece", 1, 2, 2, 300,
    )  # fmt: skip
    assert (hf.kind, hf.bos_id, hf.eos_id, hf.pad_id) == ("huggingface", 0, 1, 1)
    assert hf.vocab_size == huggingface_tokenizer().get_vocab_size()


def test_ids_equal_those_of_the_library(files):
    text = "the news of Łódź"
    hf = load_tokenizer(files / "tokenizer.json")
    assert hf.encode(text) == huggingface_tokenizer().encode(text, add_special_tokens=False).ids


@settings(max_examples=60)
@given(text=st.text(st.characters(exclude_characters="\u2581", exclude_categories=["Cs"])))
def test_decode_inverts_encode(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


CONTROL = ["<s>", "</s>", "<unk>", "<pad>", BOS, EOS, "a</s>b", f" {EOS}\n", "<s><s></s>"]


@settings(max_examples=60)
@given(parts=st.lists(st.sampled_from(CONTROL) | st.text(max_size=4)))
def test_no_text_becomes_a_control_token(tokenizer, parts):
    ids = tokenizer.encode("".join(parts))
    assert not {tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id} & set(ids)


def test_batch_equals_one_by_one(tokenizer):
    texts = ["", "the news", "a\ud800b", f"{EOS}</s>", "x" * 5000]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


def test_pieces_are_readable(tokenizer):
    ids = tokenizer.encode("the news")
    assert "".join(tokenizer.pieces(ids)) == "the news"
    assert tokenizer.pieces([tokenizer.bos_id]) in (["<s>"], [BOS])


def test_scrub_replaces_lone_surrogates_and_joins_pairs():
    assert scrub("a\ud800b") == "a\ufffdb"
    assert scrub("\ud83d\ude00") == "😀"
    assert scrub("plain é") == "plain é"


def test_truncation_padding_and_postprocessor_of_a_file_are_ignored(tmp_path):
    tokenizer = huggingface_tokenizer()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, 0)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert loaded.decode(loaded.encode("the news of the world")) == "the news of the world"
    assert BOS not in loaded.pieces(loaded.encode("the"))


def test_control_names_come_from_the_config_beside_the_file(tmp_path):
    tokenizer = huggingface_tokenizer()
    tokenizer.add_special_tokens(["<start>", "<stop>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    names = {"bos_token": {"content": "<start>"}, "eos_token": "<stop>", "pad_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names))
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert loaded.pieces([loaded.bos_id, loaded.eos_id, loaded.pad_id]) == [
        "<start>", "<stop>", "<stop>",
    ]  # fmt: skip
    assert load_tokenizer(tmp_path / "tokenizer.json", bos=BOS).bos_id == 0
    (tmp_path / "tokenizer_config.json").write_text("[" * 200_000)
    assert load_tokenizer(tmp_path / "tokenizer.json", bos=BOS, eos="<stop>").eos_id


def test_refuses_a_vocabulary_that_turns_text_into_a_control_token(tmp_path):
    tokenizer = huggingface_tokenizer()
    tokenizer.add_tokens([AddedToken("<start>", special=False)])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="turns the text '<start>' into control token"):
        load_tokenizer(tmp_path / "tokenizer.json", bos="<start>")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.model", None, "cannot read tokenizer .*none.model: No such file"),
        ("empty.model", b"", "is empty"),
        ("foreign.model", b"\x00\x01 no model", "not a sentencepiece model"),
        ("tokenizer.json", b"{}", "not a Hugging Face tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe", "not UTF-8"),
        ("vocab.txt", b"a\n", "must end in .model"),
    ],
)
def test_unusable_files_are_user_errors(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path / name)


def test_a_vocabulary_with_dropout_is_refused(tmp_path):
    """Its ids would differ from run to run."""
    content = json.loads(huggingface_tokenizer().to_str())
    content["model"]["dropout"] = 0.1
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"has model\.dropout=0\.1: .* set it to null"):
        load_tokenizer(path)
    content["model"]["dropout"] = None
    path.write_text(json.dumps(content))
    assert load_tokenizer(path).kind == "huggingface"


def test_a_cut_model_and_one_without_bos_are_user_errors(tmp_path):
    whole = sentencepiece_model()
    (tmp_path / "cut.model").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut short"):
        load_tokenizer(tmp_path / "cut.model")
    (tmp_path / "nobos.model").write_bytes(sentencepiece_model(bos_id=-1))
    with pytest.raises(UserError, match="no BOS symbol"):
        load_tokenizer(tmp_path / "nobos.model")
    with pytest.raises(UserError, match="is a folder"):
        load_tokenizer(tmp_path)
