"""Where a gain sits, which documents were trained on, and what is wrong with an evaluation."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from eval.documents import Documents
from eval.matrix import Effect
from eval.perplexity import BANDS, Scores
from eval.report import beside
from eval.report.findings import findings
from eval.report.lead import lead
from eval.report.tables import least_of
from eval.report.threats import ceilings, threats
from eval.runner import evaluate
from eval.where import by_host, by_place, by_slug, tokens_by_band
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.slug import overlap
from tests.unit.eval.fakes import make_run, make_store, texts
from tests.unit.eval.test_questions import question, write


def documents(tokens):
    zero = np.zeros(len(tokens), int)
    return Documents(
        index=np.arange(len(tokens)), country=zero, title_tokens=zero, body_tokens=np.array(tokens),
        whole=zero == 0, token_hash=zero, skipped={}, title_bytes=zero, body_bytes=zero,
    )  # fmt: skip


def test_differences_by_place_add_up_to_the_whole_and_know_their_tokens():
    of = documents([5, 8, 9, 200, 3000] * 4)
    counts = tokens_by_band(of)
    assert counts[4].tolist() == [8, 8, 16, 32, 64, 128, 256, 512, 1976]
    assert counts[2].tolist() == [8, 1] + [0] * 7 and (counts.sum(1) == of.tokens).all()
    rng = np.random.default_rng(0)
    first, second = (rng.uniform(1, 2, counts.shape) * counts for _ in range(2))
    second[:, 0] = first[:, 0] + 0.5 * counts[:, 0]  # the gain is in the first eight tokens
    zero = np.zeros(20)
    scores = {("a", "with"): Scores(zero, first.sum(1), zero, first),
              ("a", "without"): Scores(zero, second.sum(1), zero, second)}  # fmt: skip
    wanted = [Effect("told against not told", ("a", "with"), ("a", "without"))]
    lines = by_place({"a": of}, scores, wanted, samples=200, confidence=0.95, seed=0)
    assert [line["stop"] for line in lines] == list(BANDS)
    total = (first - second).sum() / 20
    assert sum(line["nats"] for line in lines) == pytest.approx(total)
    assert lines[0]["per_token"] == pytest.approx(-0.5)
    assert lines[0]["low"] <= lines[0]["nats"] <= lines[0]["high"] < 0
    assert (lines[-1]["documents"], lines[-1]["low"]) == (4, None)


def test_hosts_are_told_apart_by_training():
    seen, other = by_host(np.array([3, 1, 7, 3]), np.array([1, 3, 5]), np.ones(4, bool))
    assert (seen.name, seen.places.tolist()) == ("seen", [0, 1, 3])
    assert (other.name, other.places.tolist()) == ("not seen", [2])
    assert by_host(np.array([3, 1]), np.array([1, 3]), np.ones(2, bool)) == []
    # One that is not known is neither, though training has such, too.
    known = np.array([True, False, True, True])
    seen, other = by_host(np.array([3, 1, 7, 3]), np.array([1, 3, 5]), known)
    assert (seen.places.tolist(), other.places.tolist()) == ([0, 3], [2])


@pytest.mark.parametrize(
    ("title", "path", "fraction"),
    [
        ("Rail fares to rise", "/news/rail-fares-to-rise-2024", 1),
        ("Rail fares to rise", "/news/rail_strike", 1 / 3),
        ("Rail fares to rise", "/news/8123", 0),
        ("", "/news/rail", 0),
    ],
)
def test_a_slug_spells_a_part_of_the_title(title, path, fraction):
    assert overlap(title, path) == pytest.approx(fraction)


def test_documents_by_their_slug():
    found = by_slug(["Rail fares", "Rail fares", "Rail fares"], ["/rail-fares", "/x", "/rail"])
    assert {g.name: g.places.tolist() for g in found} == {"none": [1], "half or more": [0, 2]}


def leaking(tmp_path):
    """A store whose training split holds a third of its test split."""
    from tests.unit.eval import fakes

    made = texts(30)
    shared = {body for *_, body in made[:10]}
    original = fakes.zlib.crc32
    patched = SimpleNamespace(crc32=lambda text: original(text.split(b" ", 1)[1]))
    fakes.zlib, before = patched, fakes.zlib
    try:
        store = make_store(tmp_path / "data", made, train=10)
    finally:
        fakes.zlib = before
    return store, len(shared)


def test_test_documents_in_training_are_refused_or_counted(config, loader, tmp_path):
    store, number = leaking(tmp_path)
    run = make_run(tmp_path / "with", store, fields=("country",))
    config = config.model_copy(update={"runs": {"with": str(run)}, "store": str(store.root)})
    with pytest.raises(UserError, match=f"was trained on {number} of the 30 documents") as raised:
        evaluate(config, loader)
    assert "allow_overlap=true" in str(raised.value) and not (tmp_path / "out").exists()
    result = evaluate(config.model_copy(update={"allow_overlap": True}), loader)
    assert result["documents"]["overlap"] == number
    said = threats(SimpleNamespace(evaluation=result, runs={}, manifest=None))
    assert f"{number} of the scored documents stand in training, too, letter by letter." in said


@pytest.fixture
def result(config, loader, tmp_path):
    items = [question(n, prompt=f"the {n}th of") for n in range(40)]
    path = write(tmp_path / "q.jsonl", items)
    return evaluate(config.model_copy(update={"questions": str(path)}), loader)


def test_the_lead_says_failures_too(result):
    said = lead(json.loads(json.dumps(result)))
    assert said[0].startswith("Metadata helps")
    found = next(e for e in result["perplexity"]["effects"] if e["group"] == "all"
                 and e["part"] == "body" and "not told, against plain" in e["purpose"])  # fmt: skip
    for nats, words in ((0.3, "But told nothing it is worse than the model trained without (+35"),
                        (-0.3, "Told nothing it is better")):  # fmt: skip
        found |= {"nats": nats, "low": nats - 0.01, "high": nats + 0.01, "ratio": np.exp(nats),
                  "ratio_low": np.exp(nats - 0.01), "ratio_high": np.exp(nats + 0.01)}  # fmt: skip
        assert any(text.startswith(words) for text in lead(result))


@pytest.mark.parametrize(
    ("nats", "words"),
    [
        (0.3, "worse than"),
        (-0.3, "better than"),
        (0.0, "not clearly better or worse than"),
        (-0.008, "as good as"),
    ],
)
def test_the_lead_tells_of_bare_text(config, loader, nats, words):
    conditions = ("with", "without", "plain")
    result = evaluate(config.model_copy(update={"conditions": conditions}), loader)
    effects = [e for e in result["perplexity"]["effects"] if e["group"] == "all"]
    beside = [e for e in effects if e["purpose"].endswith("plain model, bare text")]
    own = [e for e in effects if e["purpose"] == "bare text against not told"]
    assert {e["part"] for e in beside} == {e["part"] for e in own} == {"text", "title", "body"}
    for effect in [*beside, *own]:
        effect |= {"nats": nats, "low": nats - 0.01, "high": nats + 0.01, "ratio": np.exp(nats),
                   "ratio_low": np.exp(nats - 0.01), "ratio_high": np.exp(nats + 0.01)}  # fmt: skip
    said = [text for text in lead(result) if "are text" in text]
    assert said[0].startswith(f"On bare text it is {words} the model trained without (")
    assert (len(said) == 2) == (nats > 0)
    assert len(said) == 1 or said[1].startswith("Bare text costs it +35.0% against the same words")
    without = config.model_copy(update={"conditions": conditions[:2]})
    assert not any("are text" in text for text in lead(evaluate(without, loader)))


def test_where_texts_have_no_labels_bare_text_is_told_nothing_and_said_once(config, loader):
    policy = MetadataPolicy(template="meco")
    changes = {"conditions": ("with", "without", "plain"), "metadata": policy}
    result = evaluate(config.model_copy(update=changes), loader)
    assert not [e for e in result["perplexity"]["effects"] if "bare text" in e["purpose"]]
    said = [text for text in lead(result) if "bare text" in text]
    assert len(said) == 1 and "old nothing, on bare text, it is" in said[0]


def test_the_lead_is_of_a_run_s_latest_checkpoint_and_its_curve_is_drawn(
    config, world, loader, tmp_path
):
    import shutil

    from eval.report.main_effects import main_effect
    from eval.report.plots import curves_plot
    from tests.unit.eval.fakes import rewrite_record

    folder = shutil.copytree(world.runs["with"], tmp_path / "with")
    shutil.copytree(folder / "checkpoints" / "step_00000100",
                    folder / "checkpoints" / "step_00000050")  # fmt: skip
    rewrite_record(folder / "checkpoints" / "step_00000050", step=50)
    runs = {"a": f"{folder}@all", "plain": str(world.runs["without"])}
    found = json.loads(json.dumps(evaluate(config.model_copy(update={"runs": runs}), loader)))
    assert list(found["runs"]) == ["a-50", "a-100", "plain"]
    assert main_effect(found)["of"] == ["a-100", "with"]
    found["questions"] = asked_of(found)
    found["floor"] = {"lines": [
        {"run": run, "condition": condition, "title": 0.0, "body": nats}
        for run, condition, nats in (
            (None, "with", 5.0), (None, "without", 6.0), ("a-50", "with", 8.0),
            ("a-50", "without", 8.5), ("a-100", "with", 7.0), ("a-100", "without", 9.0),
        )
    ]}  # fmt: skip
    said = " ".join(lead(found))
    assert "answers more of them right (+30.0 points)" in said and "this one +2.00" in said
    figures = {f.question: f.detail for f in findings(found) if "answer" in f.question}
    assert all(detail.startswith("+30.0 points") for detail in figures.values()) and figures
    found["questions"] = found["floor"] = None
    assert "run a, told the truth" in curves_plot(found)
    del found["runs"]["a-50"]
    assert curves_plot(found) is None


def asked_of(evaluation):
    """Questions of which telling brings more at the later of two checkpoints."""
    cells = [
        {"kind": "local", "group": "all", "rule": "by_sum", "run": run, "condition": condition,
         "accuracy": 0.5, "low": 0.4, "high": 0.6, "chance": 0.25}
        for run in evaluation["runs"] for condition in ("with", "without")
    ]  # fmt: skip
    lines = [
        {"kind": "local", "purpose": purpose, "of": [run, "with"], "against": against,
         "difference": gain, "low": gain - 0.05, "high": gain + 0.05}
        for run, gain in (("a-50", 0.1), ("a-100", 0.3))
        for purpose, against in (
            ("told against not told", [run, "without"]),
            ("conditioned model, told, against plain model", ["plain", "without"]),
        )
    ]  # fmt: skip
    return {"cells": cells, "effects": lines, "rule": "by_sum"}


def test_questions_that_all_answer_are_flagged(result):
    assert ceilings(result) == {}
    for cell in result["questions"]["cells"]:
        if cell["kind"] == "shared":
            cell["accuracy"] = 1.0
    assert list(ceilings(result)) == ["shared"]
    assert "at least 100.0% of them in every condition" in ceilings(result)["shared"]
    # No difference of theirs is in the page's head, either.
    easy = [f for f in findings(result) if "the same in every country" in f.question]
    assert [(f.answer.text, f.detail) for f in easy] == [("too easy to tell", "in every condition")]
    for cell in result["questions"]["cells"]:
        cell["accuracy"] = 1.0
    said = [text for text in lead(result) if "depends on the country" in text]
    assert said == [
        "Questions whose answer depends on the country: every model answers nearly all of them, "
        "told or not."
    ]


def test_threats_are_those_of_this_evaluation(result):
    inputs = SimpleNamespace(evaluation=result, runs={}, manifest=None)
    said = " ".join(threats(inputs))
    assert "Few documents were scored, 60:" in said and "8 hosts" in said
    assert "questions are not: that training texts hold none" in said
    alone = SimpleNamespace(evaluation=result | {"questions": None}, runs={}, manifest=None)
    assert "questions" not in " ".join(threats(alone))
    result["questions"]["untold"] = 7
    assert "7 questions name no place" in " ".join(threats(inputs))
    assert "synthetic" not in said and "not known" not in said
    # Documents that nobody could place are no country.
    result["documents"]["by_country"] = {
        "gb": {"documents": 20}, "unknown": {"documents": 500}, "ke": {"documents": 50},
    }  # fmt: skip
    said = " ".join(threats(inputs))
    assert "1 of 2 countries with fewer than 30" in said and "unbalanced" not in said
    for number, words in (
        (0, "The host of no document is known"), (5, "They are too few for intervals over hosts"),
        (20, "The intervals over hosts are the ones to read"), (40, None),
    ):  # fmt: skip
        result["documents"]["hosts"] = number
        said = [text for text in threats(inputs) if "host" in text]
        assert len(said) == (words is not None) and (words is None or words in said[0])
    ones = ("untold", "unknown_country", "repeated", "hosts", "scored", "overlap")
    result["documents"] |= dict.fromkeys(ones, 1)
    result["documents"]["controls"] = {"wrong_country": {}}
    result["questions"] |= {"untold": 1, "repeated": 1}
    many = r"\b1 (?:documents|questions|hosts|of the scored documents stand\b)"
    assert not re.search(many, " ".join(threats(inputs)))
    result["floor"] = {}
    result["runs"]["with"]["policy_hashes"] = {}
    result["runs"]["with"]["policy"]["url_form"] = "path"
    said = " ".join(threats(inputs))
    for words in ("The corpus is synthetic", "What with was trained on is not known",
                  "Run with is told URLs with their paths"):  # fmt: skip
        assert words in said


def test_csv_json_and_markdown_have_the_same_figures(result, tmp_path):
    result = json.loads(json.dumps(result))
    files = beside.beside(tmp_path / "report.html", result, lead(result))
    assert [path.name for path in files] == ["report.csv", "report.json", "report.md"]
    table, content, text = (each.decode() for each in files.values())
    cells = result["perplexity"]["cells"]
    assert table.count("\nperplexity,") == len(cells)
    assert json.loads(content)["perplexity"]["cells"] == cells
    assert lead(result)[0] in text and "| body | with | without |" in text
    # A p at the least that there can be is said to be so, as in the page.
    found = [e.get("p_holm") for e in result["perplexity"]["effects"]]
    least = min(p for p in found if p is not None)
    assert least == pytest.approx(least_of(result)) and f"| \u2264 {least:.2g} |" in text
    with pytest.raises(UserError, match="the page needs another ending"):
        beside.beside(tmp_path / "report.csv", result, [])


def test_two_evaluations_side_by_side(config, loader, tmp_path):
    from geo_nemo.cli.report import command

    other = config.model_copy(update={"output": str(tmp_path / "other"), "num_documents": 30})
    for each in (config, other):
        evaluate(each, loader)
    done = CliRunner().invoke(command, ["--compare", config.output, other.output])
    assert done.exit_code == 0, done.exception
    assert "# out and other" in done.output and "They scored other documents" in done.output
    assert "| body | run with, told the truth |" in done.output
    same = CliRunner().invoke(command, ["--compare", config.output, config.output])
    assert "Both scored the same documents." in same.output and "0.00%" in same.output
    bad = CliRunner().invoke(command, ["--compare", config.output, str(tmp_path)])
    assert isinstance(bad.exception, UserError) and "geo-nemo eval" in str(bad.exception)


def test_differences_have_intervals_over_hosts_and_corrected_p(result):
    lines = [e for e in result["perplexity"]["effects"] if e["group"] == "all"]
    # The fakes have eight hosts of documents: too few to resample.
    assert all(line["host_low"] is None and 0 < line["p"] <= line["p_holm"] <= 1 for line in lines)


def test_a_scale_ends_before_values_that_would_flatten_it():
    from eval.report.plots import _edge

    assert _edge([2.0, 2.1, 2.3, 70.0]) == pytest.approx(1.1 * 2.3)
    assert _edge([2.0, 2.1, 2.3, 4.0]) == 4.0
