"""Tokenizers as tokenizer.json: the same ids and texts as the original, BOS in front, or none."""

import io
import json

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer

from geo_nemo.export.tokenizer_json import converted, starts_with_bos
from geo_nemo.tokenizers.hard_texts import HARD_TEXTS
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data_prep.tokenise.worlds import BOS, EOS, LINES, WRITERS

PIECES = [BOS, EOS, "<s>", "</s>", "<unk>", "<0x0A>", "\u2581", "TITLE:", "URL: ", "\n", " ", "  "]
TEXTS = st.lists(
    st.sampled_from(PIECES + LINES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    max_size=12,
).map("".join)
IDENTITY = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
MODELS = {
    "bpe": {"byte_fallback": True, "add_dummy_prefix": False, **IDENTITY},
    "bpe with a space in front": {"byte_fallback": True, **IDENTITY},
    "bpe without bytes": {"add_dummy_prefix": False, **IDENTITY},
}


def write_model(path, **options):
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 20),
        model_writer=made,
        vocab_size=options.pop("vocab_size", 400),
        hard_vocab_limit=False,
        model_type=options.pop("model_type", "bpe"),
        num_threads=1,
        minloglevel=2,
        **options,
    )
    path.write_bytes(made.getvalue())
    return path


@pytest.fixture(scope="module", params=[*WRITERS, *MODELS])
def pair(request, tmp_path_factory):
    """A tokenizer, and its conversion read again from what it is written as."""
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param in WRITERS:
        path = WRITERS[request.param](folder / request.param)
    else:
        path = write_model(folder / "tokenizer.model", **MODELS[request.param])
    tokenizer = load_tokenizer(path)
    backend = Tokenizer.from_str(converted(path, tokenizer).to_str())
    backend.encode_special_tokens = True
    return tokenizer, backend


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_ids_are_those_of_the_original_behind_bos(pair, text):
    tokenizer, backend = pair
    ids = tokenizer.encode(text)
    assert backend.encode(text).ids == [tokenizer.bos_id, *ids]
    if tokenizer.decode(ids) == text:
        assert backend.decode(ids) == text


def test_control_tokens_have_their_names(pair):
    tokenizer, backend = pair
    for token in (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id):
        name = backend.id_to_token(token)
        assert name == tokenizer.pieces([token])[0]
        assert backend.get_added_tokens_decoder()[token].special


@pytest.mark.parametrize("name", WRITERS)
def test_transformers_reads_it(tmp_path, name):
    path = WRITERS[name](tmp_path / name)
    tokenizer = load_tokenizer(path)
    out = tmp_path / "out"
    out.mkdir()
    converted(path, tokenizer).save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    )
    read = AutoTokenizer.from_pretrained(out)
    for text in HARD_TEXTS:
        found = read(text, split_special_tokens=True)["input_ids"]
        assert found == [tokenizer.bos_id, *tokenizer.encode(text)], text


def test_a_template_that_is_another_s_is_replaced_and_its_cuts_are_gone(tmp_path):
    path = WRITERS["tokenizer.json"](tmp_path / "tokenizer.json")
    backend = Tokenizer.from_file(str(path))
    ends = [(name, backend.token_to_id(name)) for name in (BOS, EOS)]
    backend.post_processor = processors.TemplateProcessing(
        single=[BOS, "$A", EOS], pair=[BOS, "$A", "$B", EOS], special_tokens=ends
    )
    backend.enable_truncation(5)
    backend.save(str(path))
    tokenizer = load_tokenizer(path)
    assert not starts_with_bos(Tokenizer.from_file(str(path)), tokenizer)
    made = converted(path, tokenizer)
    assert starts_with_bos(made, tokenizer) and made.truncation is None


@pytest.mark.parametrize(
    "options", [{"model_type": "unigram"}, {}], ids=["no BPE", "characters are changed"]
)
def test_what_would_have_other_ids_is_not_converted(tmp_path, options):
    path = write_model(tmp_path / "tokenizer.model", byte_fallback=True, **options)
    assert converted(path, load_tokenizer(path)) is None


def test_a_conversion_that_differs_is_not_given(tmp_path, monkeypatch):
    """Merges in another order: what the comparison on hard texts is for."""
    from geo_nemo.tokenizers import sentencepiece_json

    path = write_model(tmp_path / "tokenizer.model", **MODELS["bpe"])
    merges = sentencepiece_json._merges_of
    turned = lambda ranks: reversed(list(merges(ranks)))  # noqa: E731
    monkeypatch.setattr(sentencepiece_json, "_merges_of", turned)
    assert converted(path, load_tokenizer(path)) is None
