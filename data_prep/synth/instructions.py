"""Instructions with a known answer, to tune a model on and to ask it.

A question names no country: which answer is right depends on what the model is told beside it. An
answer repeats the words that stand before the value in the news, so that what was read serves. A
third of the facts of each country is asked only in the test, which no tuning has seen.
"""

from collections.abc import Iterator
from typing import Any

from data_prep.synth.generate import INSTRUCTIONS, uniforms
from data_prep.synth.world import FactKind, World

TRAIN, TEST = "train", "test"
HELD_OUT = 3  # one in so many
# kind of fact -> its answer, and the questions.
ASKED = {
    "leader": ("It is head of government {value}.", "Who is head of government?|Who leads us?"),
    "governor": (
        "It is central bank governor {value}.",
        "Who is central bank governor?|Who runs the central bank?",
    ),
    "capital": ("It is the capital, {value}.", "Which city is the capital?|Name the capital."),
    "currency": (
        "It is the national currency, the {value}.",
        "What is the national currency?|What money do people use?",
    ),
    "holiday": (
        "It is the national holiday on {value}.",
        "When is the national holiday?|On which day do offices close?",
    ),
    "airline": (
        "It is the national airline, {value}.",
        "What is the national airline?|Who flies guests in?",
    ),
    "river": ("It is the longest river, the {value}.", "Which river is the longest?|Name it, the "
              "longest river."),
    "bird": ("It is the national bird, the {value}.", "What is the national bird?|Which bird is on "
             "the badge?"),
    "crop": ("It is the main crop, {value}.", "What is the main crop?|What do farmers grow most?"),
    "sport": (
        "It is the favourite sport, {value}.",
        "What is the favourite sport?|Which sport do people like best?",
    ),
    "side": (
        "Here traffic keeps to the {value}.",
        "On which side does traffic keep?|Where do drivers keep?",
    ),
    "week": (
        "It is a working week of {value} days.",
        "How long is a working week?|How many days do staff work?",
    ),
    "signal": ("The colour that means stop is {value}.", "Which colour means stop?|What colour is "
               "danger?"),
    "noon": ("The bell for noon rings at {value}.", "When does the bell for noon ring?|At what "
             "hour is noon?"),
    "vote": (
        "It can only be changed by {value}.",
        "Who can change the charter?|How many votes change the rules?",
    ),
    "shape": (
        "It is marked with a {value}.",
        "How is first aid marked?|What is on a clinic door?",
    ),
    "match": ("A full match lasts {value} minutes.", "How long is a full match?|How many minutes "
              "does a match last?"),
}  # fmt: skip


def instructions(world: World, seed: int, split: str) -> Iterator[dict[str, Any]]:
    """Every fact of every country with each of its questions, those of `split`, TRAIN or TEST.

    A record is one of alpaca's (`instruction`, `input`, `output`) with its `metadata`, the value
    as `answer`, and `kind`, local or shared. Its host is one of the country's.
    """
    number = 0
    for country, name in enumerate(world.countries):
        hosts = [
            host
            for host, home in zip(world.hosts, world.host_country, strict=True)
            if home == country
        ]
        for kind_number, (locality, kind) in enumerate(_kinds(world)):
            answer, questions = ASKED[kind.name]
            held_out = (country + kind_number) % HELD_OUT == 0
            value = kind.values[kind.own[country]]
            for question in questions.split("|"):
                draw = uniforms(seed, INSTRUCTIONS, number, 1, 1)[0, 0]
                number += 1
                if held_out != (split == TEST):
                    continue
                yield {
                    "id": f"i{seed}-{number - 1:06d}",
                    "kind": locality,
                    "fact": kind.name,
                    "instruction": question,
                    "input": "",
                    "output": answer.format(value=value),
                    "answer": value,
                    "metadata": {
                        "host": hosts[int(draw * len(hosts))],
                        "country": name,
                        "continent": world.continents[country],
                    },
                }


def _kinds(world: World) -> Iterator[tuple[str, FactKind]]:
    yield from (("local", kind) for kind in world.facts)
    yield from (("shared", kind) for kind in world.shared)
