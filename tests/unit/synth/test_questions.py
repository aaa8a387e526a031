"""Questions: right answers, fair distractors, and prompts in the style of the bodies."""

import collections

import pytest

from data_prep.synth.questions import questions
from data_prep.synth.world import default_world
from tests.unit.synth.oracle import Oracle

WORLD = default_world()
CAPITALS = ["Ardenmouth", "Belvaro", "Corvanta"]  # of gh, ke, ng


@pytest.fixture(scope="module")
def asked():
    return list(questions(WORLD, seed=0, per_country=30))


def test_each_country_has_as_many_local_as_shared_questions(asked):
    counts = collections.Counter((question["country"], question["kind"]) for question in asked)
    assert counts == {(c, kind): 30 for c in WORLD.countries for kind in ("local", "shared")}
    assert len({question["id"] for question in asked}) == len(asked)
    assert set(asked[0]) == {
        "id", "kind", "unit", "country", "continent", "host", "prompt", "options", "answer"
    }  # fmt: skip


def test_a_unit_is_the_fact_that_is_asked_about(asked):
    facts = {question["unit"]: (question["kind"], question["options"][question["answer"]])
             for question in asked}  # fmt: skip
    for question in asked:
        right = question["options"][question["answer"]]
        assert facts[question["unit"]] == (question["kind"], right)
    kinds = collections.Counter(kind for kind, _ in facts.values())
    askable = [kind for kind in WORLD.facts if len(kind.values) >= 4]
    assert kinds == {"local": 18 * len(askable), "shared": len(WORLD.shared)}


def test_the_right_answer_is_the_countrys_own_value_and_distractors_are_of_other_countries(asked):
    for question in asked:
        number = WORLD.countries.index(question["country"])
        kinds = WORLD.facts if question["kind"] == "local" else WORLD.shared
        (kind,) = [
            kind
            for kind in kinds
            if set(question["options"]) <= set(kind.values)
            and any(
                question["prompt"].endswith(t.split("{value}")[0].rstrip().split("}")[-1])
                for t in kind.templates
            )
        ]
        assert len(set(question["options"])) == 4
        assert question["options"][question["answer"]] == kind.values[kind.own[number]]
        if question["kind"] == "local":
            owned = {kind.values[own] for own in kind.own}
            assert set(question["options"]) <= owned


def test_the_capital_of_three_countries():
    for country, capital in zip(["gh", "ke", "ng"], CAPITALS, strict=True):
        answers = {
            question["options"][question["answer"]]
            for question in questions(WORLD, 1, 20)
            if question["country"] == country and question["prompt"].endswith("the capital,")
        }
        assert answers == {capital}


def test_prompts_are_beginnings_of_bodies(asked):
    table = Oracle(WORLD, 0.9, 0.6).sentences(WORLD.topics[0], WORLD.topics[0].things[0])
    beginnings = {
        text[: text.rindex(f" {value}")]
        for text, analyses in table.items()
        for type_, _, value, _, _ in analyses
        if type_ != "filler"
    }
    openings = next(choice for choice in WORLD.styles if choice.name == "opening").variants
    for question in asked:
        (opening,) = [o for o in openings if question["prompt"].startswith(o + " ")]
        assert question["prompt"][len(opening) + 1 :] in beginnings


def test_the_answers_position_is_random(asked):
    counts = collections.Counter(question["answer"] for question in asked)
    for position in range(4):
        # Four standard deviations of a binomial of 1,080 trials.
        assert counts[position] == pytest.approx(len(asked) / 4, abs=57)


def test_hosts_are_of_the_country_and_questions_of_a_seed_do_not_change(asked):
    for question in asked:
        home = WORLD.host_country[WORLD.hosts.index(question["host"])]
        assert WORLD.countries[home] == question["country"]
    assert asked == list(questions(WORLD, seed=0, per_country=30))
    assert asked != list(questions(WORLD, seed=1, per_country=30))
