"""Questions: reading, order, scores against a plain loop, accuracy."""

import json

import numpy as np
import pytest

from eval import accuracy
from eval.matrix import effects
from eval.plan import make_plan
from eval.question_files import QuestionSet, read_questions
from eval.question_schemas import Question
from eval.questions import Answers, answer_questions
from eval.runner import evaluate
from geo_nemo.config import RunError, UserError
from tests.unit.eval.fakes import CONTINENTS, HOSTS, BigramScorer, nats_of_text


def question(number=0, **changes):
    country = ("gb", "ie", "ke", "ng")[number % 4]
    base = {
        "id": f"q{number}", "kind": "local" if number % 2 else "shared", "country": country,
        "continent": CONTINENTS[country], "host": HOSTS[country][0], "prompt": "the abc of",
        "options": ["gbgb", "ieie", "keke", "ngng"], "answer": number % 4,
    }  # fmt: skip
    return base | changes


def write(path, items):
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in items))
    return path


def test_bad_lines_are_skipped_and_counted_with_their_reason(tmp_path):
    path = write(tmp_path / "q.jsonl", [
        question(0), "{not json", question(1, answer=4), question(2, options=["a"], answer=0),
        question(3, prompt=""), question(0), question(4, options=["a", "a", "b"], answer=0),
        question(5, country="Atlantis"), "", "[1, 2]", question(6, extra="ignored"),
    ])  # fmt: skip
    found = read_questions(path, 0)
    assert [q.id for q in found.questions] == ["q0", "q6"]
    assert sum(found.skipped.values()) == 8
    assert found.skipped["not JSON"] == 1
    assert found.skipped["id stands twice"] == 1
    assert found.skipped["answer is not the number of an option"] == 1
    assert found.skipped["an option stands twice"] == 1


def test_a_file_without_questions_is_an_error(tmp_path):
    with pytest.raises(UserError, match="holds no question"):
        read_questions(write(tmp_path / "q.jsonl", [""]), 0)
    with pytest.raises(UserError, match="cannot read questions"):
        read_questions(tmp_path / "absent.jsonl", 0)


def test_the_order_of_options_is_seeded_by_item_and_deaf_to_the_file(tmp_path):
    items = [question(n) for n in range(40)]
    reversed_options = [
        item | {"options": item["options"][::-1], "answer": 3 - item["answer"]} for item in items
    ]
    first = read_questions(write(tmp_path / "a.jsonl", items), 1)
    second = read_questions(write(tmp_path / "b.jsonl", reversed_options[::-1]), 1)
    shown = {
        found_id: [q.options[n] for n in order]
        for found_id, q, order in zip(
            [q.id for q in first.questions], first.questions, first.orders, strict=True
        )
    }
    for q, order in zip(second.questions, second.orders, strict=True):
        assert [q.options[n] for n in order] == shown[q.id]
    assert len({tuple(options) for options in shown.values()}) > 10
    other = read_questions(tmp_path / "a.jsonl", 2)
    assert any((a != b).any() for a, b in zip(first.orders, other.orders, strict=True))


def test_ties_are_broken_by_the_items_order_not_by_the_files(config, tmp_path):
    class Indifferent(BigramScorer):
        def nll(self, row):
            return np.ones(len(row.tokens), np.float32)

    items = [question(n, options=["aa", "bb", "cc", "dd"], answer=0) for n in range(60)]
    plan, found = answer(config, tmp_path, items, Indifferent(), "without")
    assert found.by_sum.tolist() == [order[0] for order in plan.questions.orders]
    chosen = np.bincount(found.by_sum, minlength=4)
    assert chosen.max() < 30  # always the file's first option would be 60


def answer(config, tmp_path, items, scorer, condition, **changes):
    path = write(tmp_path / "q.jsonl", items)
    plan = make_plan(config.model_copy(update={"questions": str(path), **changes}))
    composer = plan.composers["with"]
    record_of = plan.questions_shown.record_of(condition, composer)
    found = answer_questions(
        scorer, plan.questions, composer, record_of, plan.form,
        packed_length=256, run="with", condition=condition,
    )  # fmt: skip
    return plan, found


@pytest.mark.parametrize("title", [None, "Facts"])
@pytest.mark.parametrize("condition", ["with", "without", "wrong_country"])
def test_the_choice_equals_that_of_a_plain_loop(config, tmp_path, condition, title):
    options = ["gbg", "ieiei", "ke", "ngngng"]
    items = [question(n, options=options) for n in range(24)]
    plan, found = answer(config, tmp_path, items, BigramScorer(), condition, questions_title=title)
    for place, item in enumerate(items):
        source = plan.questions_shown.source[condition]
        country = None if source is None else items[source[place]]["country"]
        host = None if source is None else items[source[place]]["host"]
        nats = []
        for option in options:
            whole = nats_of_text(country, host, title or "", f"{item['prompt']} {option}")[1]
            nats.append(whole - nats_of_text(country, host, title or "", item["prompt"])[1])
        assert found.by_sum[place] == np.argmin(nats)
        lengths = [len(option) + 1 for option in options]
        assert found.by_mean[place] == np.argmin(np.array(nats) / lengths)
        if condition == "wrong_country":
            assert country != item["country"]


def test_a_question_without_host_is_shown_without_url(config, tmp_path):
    seen = []

    class Spy(BigramScorer):
        def nll(self, row):
            seen.append(row.tokens.copy())
            return super().nll(row)

    plan, _ = answer(
        config, tmp_path, [question(0, host=None), question(1, host=None)], Spy(), "with"
    )
    text = "".join(plan.tokenizers["with"].decode(tokens) for tokens in seen)
    assert "COUNTRY: gb\nCONTINENT: Europe\n\nCONTENT: the abc of" in text
    assert "URL" not in text


def test_a_question_that_does_not_fit_is_counted(config, tmp_path):
    items = [question(0), question(1), question(2, prompt="x" * 250)]
    plan, found = answer(config, tmp_path, items, BigramScorer(), "with")
    assert plan.questions.skipped == {"longer than the sequence": 1}
    assert len(found.by_sum) == 2


def test_a_likelihood_that_is_not_finite_names_the_question(config, tmp_path):
    class Broken(BigramScorer):
        def nll(self, row):
            return np.full(len(row.tokens), np.nan)

    with pytest.raises(RunError, match="run with, condition with, question q0"):
        answer(config, tmp_path, [question(0), question(1)], Broken(), "with")


def test_accuracy_by_kind_with_chance_and_paired_differences():
    questions = [Question(**question(n, prompt=f"the {n}th of")) for n in range(40)]
    asked = QuestionSet(questions, [np.arange(4)] * 40, {})
    right = np.array([q.answer for q in questions])
    wrong = (right + 1) % 4
    answers = {("p", "with"): Answers(right, wrong), ("p", "without"): Answers(wrong, wrong)}
    wanted = effects(("with", "without"), {"p": True})
    found = accuracy.tables(asked, answers, wanted, samples=200, confidence=0.95, seed=0)
    cell = next(c for c in found["cells"] if (c["kind"], c["group"], c["condition"], c["rule"])
                == ("local", "all", "with", "by_sum"))  # fmt: skip
    assert (cell["correct"], cell["questions"], cell["accuracy"], cell["chance"]) == (
        20,
        20,
        1,
        0.25,
    )
    assert cell["low"] == pytest.approx(0.8389, abs=1e-4)
    by_mean = [c["accuracy"] for c in found["cells"] if c["rule"] == "by_mean"]
    assert set(by_mean) == {0.0}
    effect = next(e for e in found["effects"] if e["kind"] == "local")
    assert (effect["difference"], effect["low"], effect["high"]) == (1.0, 1.0, 1.0)


def test_questions_that_name_no_place_are_told_nothing_and_counted(config, loader, tmp_path):
    nowhere = {"country": None, "continent": None, "host": None}
    items = [question(n, **(nowhere if n % 4 == 3 else {})) for n in range(40)]
    path = write(tmp_path / "q.jsonl", items)
    result = evaluate(config.model_copy(update={"questions": str(path)}), loader)["questions"]
    assert result["untold"] == 10
    names = {(c["group"], c["name"]): c["questions"] for c in result["cells"]}
    assert names["country", "unknown"] == names["continent", "unknown"] == 10
    assert ("country", "") not in names
    found = {c["condition"]: c["correct"] for c in result["cells"]
             if (c["name"], c["run"], c["rule"]) == ("unknown", "with", "by_sum")
             and c["group"] == "country"}  # fmt: skip
    assert found["with"] == found["without"]
