"""Likelihoods that lm-evaluation-harness is given, without the harness itself."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval.harness import Texts, Told
from geo_nemo.config import MetadataPolicy
from geo_nemo.metadata.compose import Composer
from tests.unit.eval import hub

TEXT = "rain falls on the plain"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harness") / "model"
    hub.save_other_tokenizer(folder, [f"the towns that {TEXT}"] * 20)
    hub.save_llama(folder, 400)
    return folder


def texts_of(folder, bare):
    return Texts(str(folder), Told(country="gb"), bare, "cpu", "fp32", "")


def log_p(folder, before, after):
    """Of the last ids, by transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    whole = torch.tensor([[*before, *after]])
    with torch.no_grad():
        found = model(whole).logits.double().log_softmax(-1)[0, :-1]
    return found.gather(1, whole[0, 1:, None])[-len(after) :].sum().item()


@pytest.mark.parametrize("bare", [False, True])
def test_a_text_without_a_context_is_scored_from_its_first_word(folder, bare):
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    parts = ["COUNTRY: gb", "\nCONTINENT: Europe", "\n\n", "CONTENT:"] * (not bare)
    before = [tokenizer.bos_token_id, *(i for part in parts for i in ids(part))]
    after = ids(TEXT if bare else f" {TEXT}")
    (found,) = texts_of(folder, bare).log_p([("", TEXT, {})])
    assert found == pytest.approx(log_p(folder, before, after), rel=1e-4)


@pytest.mark.parametrize(("context", "ending"), [("", TEXT), ("rain falls", " on the plain")])
def test_a_template_without_labels_has_the_ids_of_the_whole_text(folder, context, ending):
    texts = texts_of(folder, bare=False)
    policy = MetadataPolicy(fields=("country",), template="meco")
    texts.composer = Composer(policy, texts.tokenizer)
    item, size = texts._framed(context, ending, {})
    encode = texts.tokenizer.encode
    record = texts.told.record({})
    whole = encode(texts.composer.whole_text(record, "", TEXT))
    assert item.ids[1:].tolist() == whole
    assert texts.tokenizer.decode(item.ids[-size:].tolist()).strip() == ending.strip()
    assert np.isfinite(texts.log_p([(context, ending, {})])).all()
