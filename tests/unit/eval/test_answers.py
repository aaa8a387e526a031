"""Answers by every rule and form, against plain loops; the locale switch."""

import json
import math
from itertools import chain

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval import accuracy
from eval.cache import key_of
from eval.cells import form_key
from eval.config import EvalConfig
from eval.plan import make_plan
from eval.question_files import QuestionSet
from eval.question_schemas import Question
from eval.questions import Answers, Form
from eval.runner import evaluate
from eval.scorers.load import load
from geo_nemo.config import UserError
from tests.unit.eval import hub
from tests.unit.eval.fakes import load_ids, log_table
from tests.unit.eval.test_questions import question, write


@pytest.fixture(scope="module")
def bigram(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "bigram"
    hub.save_bigram(folder, log_table(None))
    hub.save_byte_tokenizer(folder)
    return folder


def asked(tmp_path, number=24, **changes):
    rng = np.random.default_rng(5)
    letters = list("abcgknirt")
    items = []
    for n in range(number):
        options = {"".join(rng.choice(letters, int(rng.integers(2, 9)))) for _ in range(9)}
        options = sorted(options)[: 2 + n % 4]
        items.append(question(n, prompt=f"the {n}th abc of", options=options,
                              answer=n % len(options), **changes))  # fmt: skip
    return write(tmp_path / "q.jsonl", items), items


def run(tmp_path, world, bigram, path, **settings):
    hub.save_corpus(tmp_path / "corpus.parquet", world.documents)
    config = EvalConfig(
        runs={"bigram": str(bigram)}, corpus=str(tmp_path / "corpus.parquet"),
        output=str(tmp_path / "out"), bootstrap_samples=100, device="cpu", num_documents=12,
        questions=str(path), **{"conditions": ("without", "plain")} | settings,
    )  # fmt: skip
    result = evaluate(config, lambda model: load(model, config))
    cache = tmp_path / "out" / "cache"
    with np.load(cache / f"bigram.{config.conditions[0]}.questions.npz") as arrays:
        return config, result, {name: arrays[name] for name in arrays.files}


def nats(before: str, option: str) -> float:
    """Of the option's letters and the space before it, under the bigram."""
    table, ids = log_table(None), load_ids(before + " " + option)
    start = len(load_ids(before))
    return -sum(table[ids[n - 1], ids[n]] for n in range(start, len(ids)))


def test_every_rule_is_that_of_a_loop_over_known_probabilities(tmp_path, world, bigram):
    path, items = asked(tmp_path)
    _, result, found = run(tmp_path, world, bigram, path,
                           questions_rules=("by_sum", "by_mean", "by_byte", "by_null"))  # fmt: skip
    for place, item in enumerate(items):
        options = item["options"]
        sums = np.array([-nats(f"CONTENT: {item['prompt']}", o) for o in options])
        sizes = np.array([len(o) for o in options])
        alone = np.array([-nats("CONTENT:", o) for o in options])
        assert found["log_p"][place, : len(options)] == pytest.approx(sums, rel=1e-4)
        assert np.isnan(found["log_p"][place, len(options) :]).all()
        for rule, scores in (("by_sum", sums), ("by_mean", sums / (sizes + 1)),
                             ("by_byte", sums / sizes), ("by_null", sums - alone)):  # fmt: skip
            # Options of a bigram tie in by_null: the frame differs before their first letter.
            assert scores[found[rule][place]] == pytest.approx(scores.max(), rel=1e-4), rule
    cells = result["questions"]["cells"]
    assert {cell["rule"] for cell in cells} == {"by_sum", "by_mean", "by_byte", "by_null"}


def test_the_shared_prefix_gives_the_answers_of_whole_rows(tmp_path, world, bigram, monkeypatch):
    path, _ = asked(tmp_path)
    _, _, shared = run(tmp_path / "a", world, bigram, path)
    monkeypatch.setattr("eval.questions.SharedPrefixes", int)
    _, _, rows = run(tmp_path / "b", world, bigram, path)
    assert np.array_equal(shared["by_sum"], rows["by_sum"])
    np.testing.assert_allclose(shared["log_p"], rows["log_p"], rtol=1e-5)


@pytest.fixture(autouse=True)
def folders(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()


def test_the_rule_is_chosen_on_questions_that_are_never_reported(tmp_path, world, bigram):
    path, items = asked(tmp_path, 80)
    config, result, found = run(
        tmp_path, world, bigram, path, questions_dev=0.4, conditions=("without",),
        questions_rules=("by_sum", "by_mean", "by_byte"),
    )  # fmt: skip
    plan = make_plan(config)
    mask, table = plan.for_choices, result["questions"]
    right = np.array([item["answer"] for item in items])
    rates = {rule: (found[rule] == right)[mask].mean() for rule in table["rules"]}
    assert table["chosen_on"] == {"questions": mask.sum(), "rates": pytest.approx(rates)}
    assert table["rule"] == max(rates, key=rates.get)
    assert table["asked"] == (~mask).sum()
    for cell in table["cells"]:
        if cell["group"] == "all":
            mine = ~mask & np.array([item["kind"] == cell["kind"] for item in items])
            assert cell["questions"] == mine.sum()
            assert cell["correct"] == (found[cell["rule"]] == right)[mine].sum()


def test_letters_and_solved_questions_stand_in_the_prompt():
    first = Question(**question(0, prompt="Who?", options=["x", "y"], answer=1))
    second = Question(**question(1, prompt="Where?", options=["p", "q", "r"], answer=0))
    order = np.array([2, 0, 1])
    form = Form("Question: {question}\nAnswer:", letters=True, shots=[first],
                shot_orders=[np.array([1, 0])])  # fmt: skip
    assert form.prompt(second, order) == (
        "Question: Who?\nA. y\nB. x\nAnswer: A\n\nQuestion: Where?\nA. r\nB. p\nC. q\nAnswer:"
    )
    assert form.answers(second, order) == ["B", "C", "A"]
    # A question is not its own example.
    assert form.prompt(first, np.array([0, 1])) == "Question: Who?\nA. x\nB. y\nAnswer:"


def test_letters_are_scored_in_the_order_that_is_shown(tmp_path, world, bigram):
    path, items = asked(tmp_path)
    config, _, found = run(tmp_path, world, bigram, path, questions_answers="letters",
                           questions_template="{question}\nIt is")  # fmt: skip
    plan = make_plan(config)
    for place, (item, order) in enumerate(zip(items, plan.questions.orders, strict=True)):
        scores = [
            -nats("It is", "ABCDE"[list(order).index(n)]) for n in range(len(item["options"]))
        ]
        assert found["by_sum"][place] == np.argmax(scores)


def test_more_shots_than_questions_for_them_is_an_error(tmp_path, world, bigram):
    path, _ = asked(tmp_path, 6)
    with pytest.raises(UserError, match=r"keeps . questions for them: give a larger fraction"):
        run(tmp_path, world, bigram, path, questions_dev=0.3, questions_shots=6)
    with pytest.raises(UserError, match=r"no question of .* has the answer of another country"):
        run(tmp_path, world, bigram, path, conditions=("without", "contrast"))


def test_answers_follow_the_country_that_a_model_is_told(config, loader, tmp_path):
    """The bigram of the fakes prefers a country's own letters; the plain one is deaf."""
    own = {"gb": "gbgb", "ie": "ieie", "jm": "jmjm", "ke": "keke", "ng": "ngng"}
    items = []
    for n, (country, other) in enumerate((a, b) for a in own for b in own if a != b):
        items.append({
            "id": f"q{n}", "split_type": "ambiguous", "country": country, "question": "the abc of",
            "options": list(own.values()), "correct_answer": own[country],
            "contrast_answer": own[other], "contrast_country": other,
        })  # fmt: skip
    path = write(tmp_path / "q.jsonl", items)
    config = config.model_copy(
        update={"questions": str(path), "conditions": ("with", "without", "contrast")}
    )
    result = evaluate(config, loader)
    told, deaf = result["questions"]["switch"]
    assert (told["run"], told["exact"], told["margin"]) == ("with", 1.0, 1.0)
    # Both questions of two countries are of one pair.
    assert (told["questions"], told["country_pairs"]) == (20, 10)
    assert 0 < told["shift_low"] < told["shift"] < told["shift_high"] and told["p"] < 0.05
    assert (deaf["run"], deaf["exact"], deaf["margin"], deaf["shift"]) == ("without", 0, 0, 0)
    assert deaf["off_distribution"] and not told["off_distribution"]
    assert (
        "contrast" not in result["conditions"]
        and "contrast" not in result["questions"]["conditions"]
    )
    # The margin's shift, by hand.
    sums = {c: log_table(c) for c in own}
    expected = []
    for item in items:
        here, there = item["country"], item["contrast_country"]
        margins = []
        for country in (here, there):
            a, b = (plain_sum(sums[country], own[c]) for c in (here, there))
            margins.append(a - b)
        expected.append(margins[0] - margins[1])
    assert told["shift"] == pytest.approx(math.fsum(expected) / len(expected), rel=1e-4)
    stored = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert stored["questions"]["effects"][0]["p_holm"] > 0


def plain_sum(table, option):
    ids = load_ids("the abc of " + option)
    start = len(load_ids("the abc of"))
    return sum(table[ids[n - 1], ids[n]] for n in range(start, len(ids)))


def test_few_shots_are_scored_behind_their_examples(tmp_path, world, bigram):
    path, _ = asked(tmp_path, 30)
    config, result, found = run(tmp_path, world, bigram, path, questions_dev=0.4,
                                questions_shots=2)  # fmt: skip
    assert result["questions"]["shots"] == 2
    plan = make_plan(config)
    tokenizer = AutoTokenizer.from_pretrained(bigram)
    place = int(np.flatnonzero(~plan.for_choices)[0])
    item, order = plan.questions.questions[place], plan.questions.orders[place]
    prompt = plan.form.prompt(item, order)
    assert prompt.count("\n\n") == 2 and prompt.endswith(item.prompt)
    assert tokenizer.decode(tokenizer(prompt)["input_ids"], skip_special_tokens=True) == prompt
    # A bigram sees no further back than the last letter.
    sums = [-nats(f"CONTENT: {item.prompt}", o) for o in item.options]
    assert found["log_p"][place, : len(sums)] == pytest.approx(np.array(sums), rel=1e-4)


def test_what_an_option_is_worth_by_itself_is_taken_off(tmp_path, world):
    folder = tmp_path / "llama"
    hub.save_other_tokenizer(folder, [body for *_, body in world.documents])
    hub.save_llama(folder, 400)
    path, items = asked(tmp_path)
    _, _, found = run(tmp_path, world, folder, path, questions_rules=("by_null",))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)

    def log_p(before, option):
        parts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in before]
        ending = tokenizer(f" {option}", add_special_tokens=False)["input_ids"]
        ids = torch.tensor([[tokenizer.bos_token_id, *chain(*parts), *ending]])
        with torch.no_grad():
            found = model(ids).logits.double().log_softmax(-1)[0, :-1]
        return found.gather(1, ids[0, 1:, None])[-len(ending) :].sum().item()

    for place, item in enumerate(items):
        scores = [
            log_p(["CONTENT:", f" {item['prompt']}"], option) - log_p(["CONTENT:"], option)
            for option in item["options"]
        ]
        assert scores[found["by_null"][place]] == pytest.approx(max(scores), abs=1e-4)


def test_the_rule_is_chosen_by_answers_in_the_question_s_own_name():
    """Told another country, the option of this one is not the right answer."""
    options = {"options": ("a", "b"), "contrast": 1, "contrast_country": "ke"}
    questions = [Question(**question(n, answer=0) | options) for n in range(8)]
    right, wrong = np.zeros(8, int), np.ones(8, int)
    log_p = np.zeros((8, 2))
    answers = {
        ("m", "with"): Answers(right, np.r_[right[:6], wrong[:2]], log_p=log_p),
        # As it should be: the other country's answer, by the first rule.
        ("m", "contrast"): Answers(wrong, right, log_p=log_p),
    }
    found = accuracy.tables(
        QuestionSet(questions, [np.arange(2)] * 8, {}), answers, [], samples=100, confidence=0.95,
        seed=0, for_choices=np.arange(8) >= 4, off_distribution={"m": False},
    )  # fmt: skip
    assert found["rule"] == "by_sum"
    assert found["chosen_on"]["rates"] == {"by_sum": 1.0, "by_mean": 0.5}


def test_what_is_finished_is_known_by_the_solved_questions_and_not_by_their_ids_alone():
    shot, other = (Question(**question(0, prompt=prompt)) for prompt in ("Who?", "Where?"))
    forms = [
        Form(shots=[each], shot_orders=[np.array(order)])
        for each, order in ((shot, [0, 1, 2, 3]), (other, [0, 1, 2, 3]), (shot, [1, 0, 2, 3]))
    ]
    keys = {key_of({"form": form_key(form)}) for form in forms}
    assert len(keys) == 3
    # Without any, what was finished before still serves.
    assert form_key(Form()) == ["{question}", False, []]
