"""Told against not told, by strength: beside plain PyTorch, and beside its two ends."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval.conditions import off_distribution
from eval.config import EvalConfig
from eval.models import read_models
from eval.report.sentences import condition_name
from eval.runner import evaluate
from eval.scorers.load import load as load_model
from geo_nemo.config import MetadataPolicy
from tests.unit.eval import hub
from tests.unit.eval.fakes import CONTINENTS
from tests.unit.eval.test_questions import question, write

STRENGTHS = (0, 0.5, 1, 2.5)


@pytest.fixture(scope="module")
def llama(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guided") / "llama"
    hub.save_other_tokenizer(folder, [f"{title} {body}" for *_, title, body in world.documents])
    hub.save_llama(folder, 400)
    return folder


@pytest.fixture(scope="module")
def scored(world, llama, tmp_path_factory):
    """The Llama on documents and questions under every strength; config, result, nats, log p."""
    folder = tmp_path_factory.mktemp("scored")
    hub.save_corpus(folder / "corpus.parquet", world.documents)
    path = write(folder / "q.jsonl", [question(n, options=["abc", "kg b", "ni"]) for n in range(4)])
    names = [f"guidance_{strength:g}" for strength in STRENGTHS]
    config = EvalConfig(
        runs={"m": str(llama)}, corpus=str(folder / "corpus.parquet"), output=str(folder / "out"),
        device="cpu", num_documents=12, bootstrap_samples=100, questions=str(path),
        conditions=("with", "without", *names),
    )  # fmt: skip
    result = evaluate(config, lambda model: load_model(model, config))
    with np.load(folder / "out" / "documents.npz") as arrays:
        documents = {name: arrays[name] for name in arrays.files}
    answers = {}
    for condition in config.conditions:
        with np.load(folder / "out" / "cache" / f"m.{condition}.questions.npz") as arrays:
            answers[condition] = arrays["log_p"]
    return result, documents, answers


def oracle(llama, told: str, untold: str, text: str, strength: float) -> float:
    """-log p of `text` behind the two beginnings, of logits in double precision."""
    model = AutoModelForCausalLM.from_pretrained(llama).double()
    tokenizer = AutoTokenizer.from_pretrained(llama)

    def ids(part: str) -> list[int]:
        return tokenizer(part, add_special_tokens=False)["input_ids"]

    logits = []
    for before in (told, untold):
        whole = [tokenizer.bos_token_id, *ids(before + text)]
        assert whole[1:] == ids(before) + ids(text)
        with torch.no_grad():
            logits.append(model(torch.tensor([whole])).logits[0, -len(ids(text)) - 1 : -1])
    mixed = logits[1] + strength * (logits[0] - logits[1])
    labels = torch.tensor(ids(text))
    return float(torch.nn.functional.cross_entropy(mixed, labels, reduction="sum"))


def head(country: str, host: str) -> str:
    return f"URL: {host}\nCOUNTRY: {country}\nCONTINENT: {CONTINENTS[country]}\n\n"


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_document_has_the_loss_of_plain_pytorch_s_mixed_logits(world, llama, scored, strength):
    _, found, _ = scored
    at = found["keys"].tolist().index(f"m/guidance_{strength:g}")
    places = [n for n, i in enumerate(found["index"]) if not world.documents[i][2]]
    assert places
    for place in places[:3]:
        country, host, _, body = world.documents[found["index"][place]]
        expected = oracle(llama, head(country, host) + "CONTENT:", "CONTENT:", f" {body}", strength)
        assert found["body"][at, place] == pytest.approx(expected, rel=1e-4)


def test_strength_0_is_told_nothing_and_1_told_the_truth(scored):
    """Losses of some nats a token in fp32: each rounding is 5e-7 of them."""
    _, found, answers = scored
    keys = found["keys"].tolist()
    for part in ("title", "body", "eos"):
        of = {key.partition("/")[2]: found[part][at] for at, key in enumerate(keys)}
        np.testing.assert_allclose(of["guidance_0"], of["without"], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(of["guidance_1"], of["with"], rtol=1e-5, atol=1e-4)
    assert not np.allclose(of["with"], of["without"], rtol=1e-3)
    np.testing.assert_allclose(answers["guidance_0"], answers["without"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(answers["guidance_1"], answers["with"], rtol=1e-4, atol=1e-4)


def test_an_option_has_the_loss_of_plain_pytorch_s_mixed_logits(llama, scored):
    _, _, answers = scored
    asked = question(0, options=["abc", "kg b", "ni"])
    before = f"CONTENT: {asked['prompt']}"
    told = head(asked["country"], asked["host"]) + before
    for number, option in enumerate(asked["options"]):
        expected = oracle(llama, told, before, f" {option}", 2.5)
        assert answers["guidance_2.5"][0, number] == pytest.approx(-expected, rel=1e-4)


def test_it_is_compared_with_being_told_and_named_by_its_strength(scored):
    result, _, _ = scored
    effects = [e for e in result["perplexity"]["effects"] if e["purpose"] == "guided against told"]
    assert {tuple(e["of"]) for e in effects} == {("m", f"guidance_{s:g}") for s in STRENGTHS}
    assert {tuple(e["against"]) for e in effects} == {("m", "with")}
    assert condition_name("guidance_2.5") == "guided, strength 2.5"


def test_it_is_off_the_distribution_where_one_of_its_two_sides_is(world):
    run = read_models({"a": str(world.runs["with"])})["a"]
    assert not off_distribution("guidance_2", run, run.policy)
    never_told = read_models({"a": str(world.runs["without"])})["a"]
    assert off_distribution("guidance_2", never_told, MetadataPolicy())


@pytest.mark.parametrize("name", ["guidance", "guidance_", "guidance_-1", "guidance_x"])
def test_a_strength_that_is_no_number_is_refused(world, name):
    with pytest.raises(ValueError, match=f"no condition {name}: .* guidance_1.5"):
        EvalConfig(runs={"a": "x"}, store="s", output="o", conditions=(name,))
