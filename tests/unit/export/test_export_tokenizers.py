"""Exports of runs with every kind of tokenizer: their files, their prompts, and a way back."""

import io
import json
import re

import pytest
import sentencepiece
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer, GenerationConfig

from geo_nemo.config import MetadataPolicy, Stage
from geo_nemo.export import card
from geo_nemo.export.hugging_face import export
from geo_nemo.export.source import find_source
from geo_nemo.metadata.compose import Composer
from geo_nemo.tokenizers.hard_texts import HARD_TEXTS
from geo_nemo.train.setup import prepare
from tests.support.runs import finished
from tests.support.text_store import text_store
from tests.support.tiny import NO_METADATA, tiny_run
from tests.unit.data_prep.tokenise.worlds import BOS, EOS, LINES, WRITERS

pytestmark = pytest.mark.usefixtures("single_process")
TEXTS = [f"{line} The {n}th of five towns." for n, line in enumerate(LINES * 40)]


def write_with(path, *ends, truncation=False):
    """A tokenizer.json with BOS in front, and `ends` behind, that cuts texts off or does not."""
    backend = Tokenizer.from_file(str(WRITERS["tokenizer.json"](path)))
    backend.post_processor = processors.TemplateProcessing(
        single=[BOS, "$A", *ends],
        pair=[BOS, "$A", "$B", *ends],
        special_tokens=[(name, backend.token_to_id(name)) for name in (BOS, EOS)],
    )
    if truncation:
        backend.enable_truncation(5)
    backend.save(str(path))
    return path


def write_with_a_space_in_front(path):
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=made, vocab_size=420, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        hard_vocab_limit=False, num_threads=1, minloglevel=2,
    )  # fmt: skip
    path.write_bytes(made.getvalue())
    return path


JSON, ORIGINAL = "tokenizer.json", "original/tokenizer.json"
# What writes a tokenizer's file, and what an export has of it beside its own tokenizer.json.
KINDS = {
    "sentencepiece": ("tokenizer.model", WRITERS["tokenizer.model"], {"tokenizer.model"}),
    "with a space": ("tokenizer.model", write_with_a_space_in_front, {"tokenizer.model"}),
    "huggingface": (JSON, WRITERS[JSON], {ORIGINAL}),
    "with bos": (JSON, write_with, set()),
    "with eos": (JSON, lambda path: write_with(path, EOS), {ORIGINAL}),
    "cut off": (JSON, lambda path: write_with(path, truncation=True), {ORIGINAL}),
    "tiktoken": (
        "tokenizer.tiktoken",
        WRITERS["tokenizer.tiktoken"],
        {"original/tokenizer.tiktoken", "original/tokenizer.tiktoken.json"},
    ),
}


def exported(store, folder, **changes):
    finished(store, folder / "run", **changes)
    source = find_source(str(folder / "run"), None, folder)
    export(source, folder / "out", "fp32")
    return source, folder / "out"


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory, single_process):
    """The source, the folder and the store of an export."""
    name, write, own = KINDS[request.param]
    folder = tmp_path_factory.mktemp("kind")
    store = text_store(folder, write(folder / name), TEXTS)
    return *exported(store, folder), store, own


def test_ids_and_control_tokens_are_the_run_s(made):
    source, folder, _, _ = made
    ours, theirs = source.tokenizer, AutoTokenizer.from_pretrained(folder)
    for text in (*HARD_TEXTS, TEXTS[0]):
        found = theirs(text, split_special_tokens=True)["input_ids"]
        assert found == [ours.bos_id, *ours.encode(text)], text
    settings = GenerationConfig.from_pretrained(folder)
    for named in (theirs, settings):
        found = named.bos_token_id, named.eos_token_id, named.pad_token_id
        assert found == (ours.bos_id, ours.eos_id, ours.pad_id)


def test_its_own_file_is_there_too(made):
    _, folder, store, own = made
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    others = {n for n in there if n.startswith("original/") or n.endswith((".model", ".tiktoken"))}
    assert others == own
    for name in own or {JSON}:
        assert (folder / name).read_bytes() == (store / name.rpartition("/")[2]).read_bytes()


def test_a_run_may_begin_from_it_without_a_word_on_the_tokenizer(made, tmp_path):
    _, folder, store, _ = made
    run = tiny_run(store, tmp_path, init={"checkpoint": str(folder)})
    assert prepare(run, 1).origin.kind == "hugging_face"


def test_the_code_of_the_card_gives_the_ids_that_training_had(made):
    source, folder, _, _ = made
    text = (folder / "README.md").read_text()
    code, _ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    body = source.tokenizer.encode(card.BODY)
    title = source.tokenizer.encode(card.TITLE)
    trained = Composer(MetadataPolicy(), source.tokenizer).compose(card.EXAMPLE, title, body)
    shown = {"folder": str(folder)}
    exec(code.partition("written = ")[0].replace('folder = "."', ""), shown)
    ids = shown["ids"] if "ids" in shown else shown["prompt"]["input_ids"][0].tolist()
    assert ids == trained.ids[: -len(body) - 1].tolist()
    assert ("ids" in shown) == ("other ids" in text)


def test_of_a_vocabulary_that_adds_a_space_the_parts_are_given(tmp_path):
    store = text_store(tmp_path, write_with_a_space_in_front(tmp_path / "tokenizer.model"), TEXTS)
    _, folder = exported(store, tmp_path)
    assert "Training tokenised the parts of a document one by one" in (
        (folder / "README.md").read_text()
    )


@pytest.mark.parametrize(
    ("first", "told", "untold"),
    [
        (NO_METADATA, ["There was no metadata. A document begins with `TITLE:`",
         "- Labels were out of the loss"], ["Metadata and", "URL:"]),
        (MetadataPolicy(position="append", mask_loss=False),
         ["Metadata stood behind the text", " The price of ...\n\nURL: bbc.co.uk\nCOUNTRY: gb\n",
          "URL, COUNTRY, CONTINENT, after the text"], ["out of the loss", "behind its metadata"]),
        (MetadataPolicy(fields=("country",)), ["```\nCOUNTRY: gb\n\nTITLE: Rail fares"], ["URL"]),
    ],
    ids=["none", "behind", "a field"],
)  # fmt: skip
def test_the_card_tells_of_each_form(tiny_store, tmp_path, first, told, untold):
    stages = {
        "condition": Stage(fraction=0.5, metadata=first),
        "cooldown": Stage(fraction=0.5, metadata=NO_METADATA),
    }
    _, folder = exported(tiny_store, tmp_path, stages=stages)
    text = (folder / "README.md").read_text()
    assert all(part in text for part in told), text
    assert not any(part in text for part in untold), text
    assert json.loads((folder / "training.json").read_text())["stages"].keys() == stages.keys()
