"""The model class `geo_nemo` in lm-evaluation-harness itself, beside the harness's own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

lm_eval = pytest.importorskip("lm_eval", reason="make test-lm-eval installs it")

from eval.harness import register  # noqa: E402
from eval.question_files import read_questions  # noqa: E402
from geo_nemo.config import UserError  # noqa: E402
from tests.unit.eval import hub  # noqa: E402

ROOT = Path(__file__).parents[2]
WORDS = ["the", "of", "and", "to", "in", "rain", "falls", "mainly", "on", "plain", "towns", "that"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harness")
    hub.save_other_tokenizer(folder / "model", [" ".join(WORDS)] * 20)
    hub.save_llama(folder / "model", 400)
    rng, rows = np.random.default_rng(0), []
    for n in range(30):
        options = [" ".join(rng.choice(WORDS, int(rng.integers(1, 4)))) + f" {i}" for i in range(4)]
        rows.append({
            "id": f"q{n}", "question": " ".join(rng.choice(WORDS, 9)) + "?", "options": options,
            "correct_answer": options[0], "country": ("Kenya", "Ghana", "Ireland")[n % 3],
            "split_type": "explicit",
        })  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "q.parquet")
    return folder


def run(world, model, **arguments):
    from lm_eval.tasks import TaskManager

    register()
    # Without the harness's own tasks, whose thousands of files take longer than all the rest.
    manager = TaskManager(include_path=str(ROOT / "eval" / "tasks"), include_defaults=False,
                          metadata={"file": str(world / "q.parquet")})  # fmt: skip
    found = lm_eval.simple_evaluate(
        model, arguments, tasks=["localnewsqa"], task_manager=manager, device="cpu",
        bootstrap_iters=0, batch_size=8,
    )  # fmt: skip
    samples = found["samples"]["localnewsqa"]
    return [[float(r[0]) for r in s["filtered_resps"]] for s in samples], found["results"]


def test_bare_text_has_the_likelihoods_and_the_answers_of_the_harness(world):
    ours, our_results = run(world, "geo_nemo", path=str(world / "model"), bare=True)
    theirs, their_results = run(
        world, "hf", pretrained=str(world / "model"), add_bos_token=True, dtype="float32"
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    for metric in ("acc,none", "acc_norm,none"):
        assert our_results["localnewsqa"][metric] == their_results["localnewsqa"][metric]


def test_a_document_s_country_stands_before_it(world):
    ours, _ = run(world, "geo_nemo", path=str(world / "model"), country_field="country")
    tokenizer = AutoTokenizer.from_pretrained(world / "model")
    model = AutoModelForCausalLM.from_pretrained(world / "model")
    place = {"ke": "Africa", "gh": "Africa", "ie": "Europe"}

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    found = read_questions(world / "q.parquet", 1234)
    for question, order, mine in zip(found.questions, found.orders, ours, strict=True):
        country = question.country
        parts = [f"COUNTRY: {country}", f"\nCONTINENT: {place[country]}", "\n\n", "CONTENT:",
                 f" Question: {question.prompt}\nAnswer:"]  # fmt: skip
        before = [tokenizer.bos_token_id, *(i for part in parts for i in ids(part))]
        for number, value in zip(order, mine, strict=True):
            ending = ids(f" {question.options[number]}")
            whole = torch.tensor([[*before, *ending]])
            with torch.no_grad():
                log_p = model(whole).logits.double().log_softmax(-1)[0, :-1]
            expected = log_p.gather(1, whole[0, 1:, None])[-len(ending) :].sum().item()
            assert value == pytest.approx(expected, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"country_field": "land"}, "country_field=land: a document of the task has id, question"),
        ({"contry": "gb"}, "model_args: no contry; there is path, country"),
    ],
)
def test_a_mistake_is_one_line(world, arguments, words):
    with pytest.raises(UserError, match=words):
        run(world, "geo_nemo", path=str(world / "model"), **arguments)


def test_the_command_line_runs_and_a_mistake_ends_it_with_2(world):
    def command(path):
        return subprocess.run(
            [sys.executable, "-m", "eval.harness", "--model", "geo_nemo", "--model_args",
             f"path={path},country=gb", "--device", "cpu", "--include_path", "eval/tasks",
             "--tasks", "localnewsqa", "--metadata", json.dumps({"file": str(world / "q.parquet")}),
             "--limit", "4"],
            capture_output=True, text=True, cwd=ROOT, timeout=300,
        )  # fmt: skip

    done = command(world / "model")
    assert done.returncode == 0 and "localnewsqa" in done.stdout, done.stderr[-2000:]
    bad = command(world / "none")
    assert bad.returncode == 2
    assert bad.stderr.strip().splitlines()[-1].startswith("eval.harness: path=")
