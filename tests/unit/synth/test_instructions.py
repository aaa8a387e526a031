"""Instructions: one answer a country, which the world knows, and a test that no tuning has seen."""

from collections import defaultdict

from data_prep.synth.instructions import ASKED, TEST, TRAIN, instructions
from data_prep.synth.world import default_world

WORLD = default_world()


def made(split, seed=0):
    return list(instructions(WORLD, seed, split))


def test_every_fact_of_every_country_is_asked_and_a_third_of_them_only_in_the_test():
    asked = {
        split: {(r["metadata"]["country"], r["fact"]) for r in made(split)}
        for split in (TRAIN, TEST)
    }
    kinds = {kind.name for kind in (*WORLD.facts, *WORLD.shared)}
    assert kinds == ASKED.keys()
    assert asked[TRAIN] | asked[TEST] == {(c, k) for c in WORLD.countries for k in kinds}
    assert not asked[TRAIN] & asked[TEST]
    assert len(asked[TEST]) == len(WORLD.countries) * len(kinds) // 3
    # Each kind and each country stands in both.
    for place in (0, 1):
        for split in (TRAIN, TEST):
            of_all = WORLD.countries if place == 0 else kinds
            assert {pair[place] for pair in asked[split]} == set(of_all)


def test_the_answer_is_the_world_s_and_no_question_tells_the_country():
    own = {
        (country, kind.name): kind.values[kind.own[number]]
        for number, country in enumerate(WORLD.countries)
        for kind in (*WORLD.facts, *WORLD.shared)
    }
    answers = defaultdict(set)
    for record in (*made(TRAIN), *made(TEST)):
        metadata = record["metadata"]
        assert record["answer"] == own[metadata["country"], record["fact"]]
        assert (
            record["answer"] in record["output"] and record["answer"] not in record["instruction"]
        )
        home = WORLD.host_country[WORLD.hosts.index(metadata["host"])]
        assert WORLD.countries[home] == metadata["country"]
        assert WORLD.continents[home] == metadata["continent"]
        answers[record["kind"], record["instruction"]].add(record["answer"])
    assert all(len(found) == 1 for (kind, _), found in answers.items() if kind == "shared")
    assert all(len(found) > 1 for (kind, _), found in answers.items() if kind == "local")


def test_a_seed_draws_the_hosts_alone():
    one, two = made(TRAIN), made(TRAIN, seed=1)
    assert [r["output"] for r in one] == [r["output"] for r in two]
    assert [r["metadata"]["host"] for r in one] != [r["metadata"]["host"] for r in two]
