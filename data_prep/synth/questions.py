"""Cloze questions with a known answer, in the style of the bodies.

A prompt is an opening and a sentence about a fact, cut before the value. Its wordings are drawn
uniformly, not by house style, so that without metadata nothing in it tells the country.
"""

import math
from collections.abc import Iterator
from typing import Any

from data_prep.synth.generate import QUESTIONS, uniforms
from data_prep.synth.world import FactKind, World

NUM_OPTIONS = 4
_WIDTH = 64  # uniform numbers a question may take


def questions(world: World, seed: int, per_country: int) -> Iterator[dict[str, Any]]:
    """For each country, `per_country` local questions and as many shared ones.

    unit: the fact that is asked about, in whatever words; a shared one is one for all countries. A
    question's host is one of the country's. Options: the right value and three others of the
    same kind, in random order; for a local question they are other countries' values. Kinds with
    fewer than four values are not asked about.
    """
    number = 0
    for country in range(len(world.countries)):
        for name, kinds in (("local", world.facts), ("shared", world.shared)):
            askable = [kind for kind in kinds if len(kind.values) >= NUM_OPTIONS]
            if not askable:
                continue
            for turn in range(per_country):
                draw = iter(uniforms(seed, QUESTIONS, number, 1, _WIDTH)[0].tolist()).__next__
                kind = askable[turn % len(askable)]
                rounds = turn // len(askable)
                template = kind.templates[(rounds + country) % len(kind.templates)]
                yield {
                    "id": f"q{seed}-{number:06d}",
                    "kind": name,
                    "unit": kind.name + f"/{world.countries[country]}" * (name == "local"),
                    **_question(world, country, kind, template, draw),
                }
                number += 1


def _question(world: World, country: int, kind: FactKind, template: str, draw) -> dict[str, Any]:
    hosts = [host for host, home in zip(world.hosts, world.host_country, strict=True)
             if home == country]  # fmt: skip
    host = hosts[int(draw() * len(hosts))]
    words = {**world.lexicon} | {choice.name: choice.variants for choice in world.styles}
    sentence = template.split("{value}")[0].rstrip()
    for slot, variants in words.items():
        while f"{{{slot}}}" in sentence:
            word = variants[int(draw() * len(variants))]
            sentence = sentence.replace(f"{{{slot}}}", word, 1)
    opening = words["opening"][int(draw() * len(words["opening"]))]
    right = kind.own[country]
    others = [value for value in range(len(kind.values)) if value != right]
    options = [right, *_shuffled(others, draw)[: NUM_OPTIONS - 1]]
    options = _shuffled(options, draw)
    return {
        "country": world.countries[country],
        "continent": world.continents[country],
        "host": host,
        "prompt": f"{opening} {sentence}",
        "options": [kind.values[value] for value in options],
        "answer": options.index(right),
    }


def _shuffled(items: list[int], draw) -> list[int]:
    """Fisher-Yates with `draw`, so that no library's shuffle decides the bytes."""
    items = list(items)
    for last in range(len(items) - 1, 0, -1):
        other = math.floor(draw() * (last + 1))
        items[last], items[other] = items[other], items[last]
    return items
