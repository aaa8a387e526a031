"""Token ids and labels of conversations, beside a mask that is found in the text."""

import io

import pytest
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from geo_nemo.config import UserError
from geo_nemo.config.tune import Told, Tune
from geo_nemo.export.chat import chat_template
from geo_nemo.export.loaded import load_tokenizer, open_folder
from geo_nemo.tune.encode import IGNORED, encode, encode_one
from geo_nemo.tune.show import colours, counts, show
from geo_nemo.tune.telling import Teller, read_told
from tests.support.exports import COUNTRIES, alpaca, write_export, write_jsonl

CHAT = {
    "messages": [
        {"role": role, "content": text}
        for role, text in (("user", "Why so?"), ("assistant", "Rail fares."),
                           ("user", "And then?"), ("assistant", "The town rises."))
    ],
    "country": "ng",
}  # fmt: skip


@pytest.fixture(scope="module")
def opened(tiny_store, tmp_path_factory):
    folder = open_folder(str(write_export(tmp_path_factory.mktemp("e") / "model", tiny_store)))
    return folder, load_tokenizer(folder)


def told_of(opened, path, **told):
    config = Tune(model="m", output="o", data=str(path))
    return read_told(config, Teller(opened[0].policy, Told(**told), COUNTRIES, 0))[0], config


def test_answers_and_their_ends_alone_are_trained(opened, tmp_path):
    tokenizer = opened[1]
    found, config = told_of(opened, write_jsonl(tmp_path / "d", [*alpaca(20), CHAT]), none=0.3)
    made = encode(found, tokenizer, config, 128)
    for ids, labels, each in zip(made.input_ids, made.labels, made.told, strict=True):
        turns = each.conversation.turns
        trained, runs = [], []
        for token, label in zip(ids, labels, strict=True):
            assert label in (token, IGNORED)
            if label != IGNORED:
                trained.append(token)
            if label != IGNORED and token == tokenizer.eos_token_id:
                runs.append(tokenizer.decode(trained[:-1]).strip())
                trained = []
        assert runs == list(turns[1::2]) and not trained
        text = tokenizer.decode(ids)
        assert ("COUNTRY: " in text) == (each.how in ("all", "country"))
        assert ("URL: " in text) == (each.how == "all")
        assert ("CONTINENT: " in text) == (each.how == "all")
    assert {each.how for each in made.told} == {"all", "country", "none"}


def byte_level(policy, processor):
    """A tokenizer of transformers like GPT-2's, with a post-processor."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet
    )
    made.train_from_iterator([" Rail fares.", " The town rises."] * 9, trainer)
    made.post_processor = processor
    found = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    found.chat_template = chat_template(policy, (), ("<s>", "</s>"))
    return found


@pytest.mark.parametrize("within", [False, True])
def test_answers_are_trained_where_a_tokenizer_leaves_spaces_out_of_places(
    opened, tmp_path, within
):
    found, config = told_of(opened, write_jsonl(tmp_path / "d", [CHAT]))
    trimming = processors.ByteLevel(trim_offsets=True)
    plain = processors.ByteLevel(trim_offsets=False)
    bos = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    made = [
        encode(found, byte_level(opened[0].policy, processor), config, 128).labels[0]
        for processor in (
            processors.Sequence([trimming, bos]) if within else trimming,
            processors.Sequence([plain, bos]) if within else plain,
        )
    ]
    assert made[0] == made[1]
    assert sum(label == 1 for label in made[0]) == 2  # both answers with their ends


def test_all_tokens_may_be_trained(opened, tmp_path):
    found, _ = told_of(opened, write_jsonl(tmp_path / "d", [CHAT]))
    ids, labels = encode_one(found[0], opened[1], "all")
    assert labels == ids


def test_one_that_is_too_long_is_an_error_or_left_out(opened, tmp_path):
    long = {"instruction": "why " * 90, "output": "so."}
    found, config = told_of(opened, write_jsonl(tmp_path / "d", [*alpaca(3), long]))
    with pytest.raises(UserError, match=r"d:4 has \d+ tokens, and a sequence 128"):
        encode(found, opened[1], config, 128)
    made = encode(found, opened[1], config.model_copy(update={"too_long": "drop"}), 128)
    assert len(made.input_ids) == 3 and made.dropped[0].endswith("d:4")
    with pytest.raises(UserError, match="no conversation is left"):
        encode(found[3:], opened[1], config.model_copy(update={"too_long": "drop"}), 128)


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_turn_that_spells_a_control_token_is_refused(opened, tmp_path, turn):
    messages = [dict(message) for message in CHAT["messages"]]
    messages[turn]["content"] += f" Then {opened[1].eos_token} it ends."
    data = write_jsonl(tmp_path / "d", [*alpaca(2), {"messages": messages}])
    found, config = told_of(opened, data)
    with pytest.raises(UserError, match=r"d:3 spells </s>, a control token of the model"):
        encode(found, opened[1], config, 128)


def test_a_control_token_without_a_role_is_refused_as_well(opened, tmp_path):
    """As those of conversations of other models, or meta-tokens."""
    tokenizer = load_tokenizer(opened[0])
    tokenizer.add_tokens([AddedToken("<|meta_1|>", special=True), AddedToken("<word>")])
    for word, is_refused in (("<|meta_1|>", True), ("<word>", False)):
        record = {"instruction": f"Why {word}?", "output": "So."}
        found, config = told_of(opened, write_jsonl(tmp_path / "d", [record]))
        if not is_refused:
            assert encode(found, tokenizer, config, 128).input_ids
            continue
        with pytest.raises(UserError, match=r"d:1 spells <\|meta_1\|>, a control token"):
            encode(found, tokenizer, config, 128)


def test_a_file_s_name_with_brackets_is_shown_as_it_is(opened, tmp_path):
    path = write_jsonl(tmp_path / "a[b]c[", [CHAT])
    found, config = told_of(opened, path, none=0, country=0)
    console = Console(width=400, record=True, file=io.StringIO())
    show(console, encode(found, opened[1], config, 128), opened[1], 1)
    assert "a[b]c[:1, told all that is known" in console.export_text()


def test_what_is_shown_has_the_colours_of_its_labels(opened, tmp_path):
    found, config = told_of(opened, write_jsonl(tmp_path / "d", [CHAT]), none=0, country=0)
    made = encode(found, opened[1], config, 128)
    text = colours(made, 0, opened[1])
    styled = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styled[" Rail fares.</s>"] == "green" and styled[" The town rises.</s>"] == "green"
    (block,) = (part for part, style in styled.items() if style == "blue")
    assert block.replace("\u23ce", "").split() == ["COUNTRY:", "ng", "CONTINENT:", "Africa"]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(counts(made))
    shown = console.export_text()
    assert "told all that is known" in shown and f"{made.trained:,} (" in shown
