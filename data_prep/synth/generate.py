"""Draws documents: text, and the record of every choice that made it.

Document i reads its own span of a counter-based stream, so it depends on (seed, i) alone, whichever
worker writes it. Every choice can be read off the finished text, so the probability of the text
given its host is the product of the probabilities of its choices.
"""

import datetime
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data_prep.synth.world import World

FIRST_DAY = datetime.date(2015, 1, 1).toordinal()
NUM_DAYS = datetime.date(2025, 1, 1).toordinal() - FIRST_DAY
DOCUMENTS, QUESTIONS, INSTRUCTIONS = range(3)  # streams of one seed
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Document:
    """One document and what it takes to compute its probability.

    host: index into `World.hosts`; date: proleptic ordinal, which no word of the text depends on.
    title_nats: -log p(title). choice_nats: -log p(choices of the body that no host changes).
    fact_outcomes, style_outcomes: rows of `Likelihood.table`, one a choice that the host changes.
    """

    index: int
    host: int
    date: int
    title: str
    body: str
    title_nats: float
    choice_nats: float
    fact_outcomes: list[int]
    style_outcomes: list[int]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template: `%s` text and, for each `%s`, where its word comes from.

    A slot is a tuple of words (each as likely), the number of a style choice, or None: the value of
    a fact, the thing of a topic.
    nats: of the template's own choices, without the choice of the template and of style or value.
    """

    text: str
    slots: tuple[tuple[str, ...] | int | None, ...]
    nats: float

    @property
    def num_draws(self) -> int:
        """Uniform numbers that filling the template takes at most."""
        return sum(1 if isinstance(slot, tuple) else 2 for slot in self.slots)


def outcome_offsets(world: World) -> tuple[list[int], list[int], int]:
    """First outcome of each kind of fact and of each style choice, and the number of outcomes."""
    sizes = [len(kind.values) for kind in world.facts]
    sizes += [len(choice.variants) for choice in world.styles]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int).tolist()
    return starts[: len(world.facts)], starts[len(world.facts) : -1], starts[-1]


def uniforms(seed: int, stream: int, start: int, count: int, width: int) -> np.ndarray:
    """Rows [start, start + count) of a table of uniform numbers in [0, 1); `width` % 4 == 0.

    Philox raw output, which NumPy keeps stable across versions; four numbers a counter step.
    """
    bits = np.random.Philox(key=[seed, stream], counter=start * (width // 4))
    return (bits.random_raw(count * width) >> 11).reshape(count, width) * 2.0**-53


class Generator:
    """Draws the documents of a (world, seed, signal, style)."""

    def __init__(self, world: World, seed: int, signal: float, style: float):
        self.world, self.seed, self.signal, self.style = world, seed, signal, style
        names = [choice.name for choice in world.styles]
        self._opening, self._signoff = names.index("opening"), names.index("signoff")
        self._fact_start, self._style_start, _ = outcome_offsets(world)
        self._facts = [self._compiled(kind.templates) for kind in world.facts]
        self._shared = [self._compiled(kind.templates) for kind in world.shared]
        self._titles = [self._compiled(topic.titles) for topic in world.topics]
        self._fillers = [self._compiled(topic.sentences) for topic in world.topics]
        self._shared_nats = [
            [
                _own_or_any_nats(value == kind.own[0], len(kind.values), world.shared_signal)
                for value in range(len(kind.values))
            ]
            for kind in world.shared
        ]
        self.width = self._draws_of_a_document()

    def documents(self, start: int, stop: int) -> Iterator[Document]:
        """Documents [start, stop), drawn in blocks of bounded memory."""
        for first in range(start, stop, 1024):
            count = min(1024, stop - first)
            rows = uniforms(self.seed, DOCUMENTS, first, count, self.width).tolist()
            for offset, row in enumerate(rows):
                yield self._document(first + offset, iter(row).__next__)

    def _compiled(self, templates: tuple[str, ...]) -> list[Template]:
        words = {**self.world.lexicon, "thing": None, "value": None}
        words |= {choice.name: number for number, choice in enumerate(self.world.styles)}
        compiled = []
        for template in templates:
            slots = tuple(words[name] for name in _PLACEHOLDER.findall(template))
            nats = math.log(len(templates))
            nats += sum(math.log(len(slot)) for slot in slots if isinstance(slot, tuple))
            compiled.append(Template(_PLACEHOLDER.sub("%s", template), slots, nats))
        return compiled

    def _draws_of_a_document(self) -> int:
        world = self.world
        groups = self._facts + self._shared + self._fillers
        # Order, kind, value and template; then the slots of the longest.
        sentence = 5 + max(template.num_draws for group in groups for template in group)
        title = max(template.num_draws for group in self._titles for template in group)
        sentences = max(world.fact_counts) + max(world.filler_counts) + max(world.shared_counts)
        # host, date, topic, thing, title and three counts; opening and sign-off take two each.
        width = 8 + title + 4 + sentences * sentence
        return (width + 3) // 4 * 4

    def _document(self, index: int, draw) -> Document:
        world = self.world
        host = int(draw() * len(world.hosts))
        country = world.host_country[host]
        date = FIRST_DAY + int(draw() * NUM_DAYS)
        facts: list[int] = []
        style: list[int] = []

        topic = int(draw() * len(world.topics))
        things = world.topics[topic].things
        thing = _pick(things, draw)
        template = _pick(self._titles[topic], draw)
        title = self._filled(template, thing, host, draw, style)
        title_nats = math.log(len(world.topics) * len(things)) + template.nats

        counts = [
            _pick(choices, draw)
            for choices in (world.fact_counts, world.filler_counts, world.shared_counts)
        ]
        nats = _counts_nats(world, tuple(counts))
        unused_facts, unused_shared = list(range(len(world.facts))), list(range(len(world.shared)))
        parts = [self._styled(self._opening, host, draw, style)]
        remaining = sum(counts)
        while remaining:
            position = int(draw() * remaining)
            if position < counts[0]:
                counts[0] -= 1
                number = unused_facts.pop(int(draw() * len(unused_facts)))
                kind = world.facts[number]
                value = _own_or_any(kind.own[country], len(kind.values), self.signal, draw)
                facts.append(self._fact_start[number] + value)
                template, word = _pick(self._facts[number], draw), kind.values[value]
            elif position < counts[0] + counts[1]:
                counts[1] -= 1
                template, word = _pick(self._fillers[topic], draw), thing
            else:
                counts[2] -= 1
                number = unused_shared.pop(int(draw() * len(unused_shared)))
                kind = world.shared[number]
                size = len(kind.values)
                value = _own_or_any(kind.own[country], size, world.shared_signal, draw)
                nats += self._shared_nats[number][value]
                template, word = _pick(self._shared[number], draw), kind.values[value]
            nats += template.nats
            parts.append(self._filled(template, word, host, draw, style))
            remaining -= 1
        parts.append(self._styled(self._signoff, host, draw, style))
        title = title[0].upper() + title[1:]
        return Document(index, host, date, title, " ".join(parts), title_nats, nats, facts, style)

    def _filled(self, template: Template, value: str, host: int, draw, style: list[int]) -> str:
        words = []
        for slot in template.slots:
            if slot is None:
                words.append(value)
            elif isinstance(slot, int):
                words.append(self._styled(slot, host, draw, style))
            else:
                words.append(slot[int(draw() * len(slot))])
        return template.text % tuple(words)

    def _styled(self, number: int, host: int, draw, style: list[int]) -> str:
        choice = self.world.styles[number]
        variant = _own_or_any(choice.own[host], len(choice.variants), self.style, draw)
        style.append(self._style_start[number] + variant)
        return choice.variants[variant]


def _pick(choices, draw):
    return choices[int(draw() * len(choices))]


def _own_or_any(own: int, size: int, strength: float, draw) -> int:
    """`own` with probability strength + (1 - strength) / size, each other (1 - strength) / size."""
    any_of_them = int(draw() * size)
    return own if draw() < strength else any_of_them


def _own_or_any_nats(is_own: bool, size: int, strength: float) -> float:
    p = strength * is_own + (1 - strength) / size
    return -math.log(p) if p else math.inf


_LOG_FACTORIAL = [math.lgamma(n + 1) for n in range(256)]


def _counts_nats(world: World, counts: tuple[int, int, int]) -> float:
    """-log p of the numbers of sentences, of their order, and of which kinds are told."""
    log_factorial = _LOG_FACTORIAL
    facts, _, shared = counts
    nats = math.log(len(world.fact_counts) * len(world.filler_counts) * len(world.shared_counts))
    nats += log_factorial[sum(counts)] - sum(log_factorial[count] for count in counts)
    for told, kinds in ((facts, len(world.facts)), (shared, len(world.shared))):
        nats += log_factorial[kinds] - log_factorial[kinds - told]
    return nats
