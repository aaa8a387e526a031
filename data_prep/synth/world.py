"""The synthetic world as data: places, facts, topics, style, and how many a document has."""

from dataclasses import dataclass
from functools import cache

from data_prep.synth import facts, outlets, topics


@dataclass(frozen=True, slots=True)
class FactKind:
    """A question with one answer a country: `values[own[country]]`, told by one of `templates`."""

    name: str
    values: tuple[str, ...]
    own: tuple[int, ...]
    templates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """What a document is about: titles, filler sentences, and `{thing}`, one a document."""

    name: str
    things: tuple[str, ...]
    titles: tuple[str, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StyleChoice:
    """A wording that house style decides: host h prefers `variants[own[h]]`."""

    name: str
    variants: tuple[str, ...]
    own: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class World:
    """All that the generator draws from, and all that an exact likelihood needs.

    Hosts of a country stand together, and so do countries of a continent. A body is an opening,
    then sentences in random order, then a sign-off, one space apart; `opening` and `signoff` are
    style choices. The sentences: as many facts of the country, fillers of the topic and shared
    facts as one entry each of `fact_counts`, `filler_counts` and `shared_counts`, drawn uniformly.
    A kind of fact comes once in a document at most, so that a value can be inferred or known, but
    not copied.
    shared_signal: probability that a shared fact is told with its true value; else uniform.
    """

    countries: tuple[str, ...]
    continents: tuple[str, ...]  # by country
    hosts: tuple[str, ...]
    host_country: tuple[int, ...]
    facts: tuple[FactKind, ...]
    shared: tuple[FactKind, ...]
    topics: tuple[Topic, ...]
    styles: tuple[StyleChoice, ...]
    lexicon: dict[str, tuple[str, ...]]
    fact_counts: tuple[int, ...] = (6, 7, 8)
    filler_counts: tuple[int, ...] = (2, 3, 4)
    shared_counts: tuple[int, ...] = (1, 2)
    shared_signal: float = 0.9

    def __post_init__(self):
        if list(self.host_country) != sorted(self.host_country):
            raise ValueError("the hosts of a country do not stand together")
        changes = sum(a != b for a, b in zip(self.continents, self.continents[1:], strict=False))
        if changes + 1 != len(set(self.continents)):
            raise ValueError("the countries of a continent do not stand together")
        for kind in self.shared:
            if len(set(kind.own)) != 1:
                raise ValueError(f"shared fact {kind.name} differs by country")
        things = [thing for topic in self.topics for thing in topic.things]
        if len(set(things)) != len(things):
            raise ValueError("two topics share a thing")
        for topic in self.topics:
            for title in topic.titles:
                if "{thing}" not in title:
                    raise ValueError(f"title {title!r} does not tell the thing of the document")
                if any(f"{{{choice.name}}}" in title for choice in self.styles):
                    raise ValueError(f"title {title!r} depends on the host's style")


@cache
def default_world() -> World:
    """The world of the corpus: 18 countries, 72 hosts, 11 kinds of facts, 6 shared ones."""
    countries = tuple(outlets.CONTINENT_OF)
    host_country = [
        (host, number)
        for number, country in enumerate(countries)
        for host in outlets.OUTLETS[country].split()
    ]
    every = range(len(countries))
    country_facts = []
    for name, (text, templates) in facts.COUNTRY_FACTS.items():
        values = facts.split_values(text)
        own = tuple(number % len(values) for number in every)
        country_facts.append(FactKind(name, values, own, templates))
    shared = [
        FactKind(name, facts.split_values(text), (true,) * len(countries), templates)
        for name, (text, true, templates) in facts.SHARED_FACTS.items()
    ]
    return World(
        countries=countries,
        continents=tuple(outlets.CONTINENT_OF.values()),
        hosts=tuple(host for host, _ in host_country),
        host_country=tuple(number for _, number in host_country),
        facts=tuple(country_facts),
        shared=tuple(shared),
        topics=tuple(
            Topic(name, tuple(things.split("|")), titles, sentences)
            for name, (things, titles, sentences) in topics.TOPICS.items()
        ),
        styles=_house_styles([number for _, number in host_country]),
        lexicon={name: tuple(words.split("|")) for name, words in topics.LEXICON.items()},
    )


def _house_styles(host_country: list[int]) -> tuple[StyleChoice, ...]:
    """Fixed preferences; the four outlets of a country differ in opening and in sign-off."""
    choices = []
    for number, (name, text) in enumerate(topics.STYLES.items()):
        variants = tuple(text.split("|"))
        own = []
        for host, country in enumerate(host_country):
            outlet = host - host_country.index(country)
            step = 1 if number % 2 == 0 else -1
            own.append((step * outlet + country * (number + 1) + country // 6) % len(variants))
        choices.append(StyleChoice(name, variants, tuple(own)))
    return tuple(choices)
