"""Puts a data card into one HTML page that loads nothing from anywhere."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.card import figures
from data_prep.card.data import CardData
from data_prep.card.fields import field_notes, value_words
from data_prep.card.sentences import (
    EVIDENCE,
    MASKED,
    count,
    drops_file,
    few_tests,
    fraction,
    known_countries,
    limits,
    lost_files,
    lost_how,
    size,
    split_rule,
    summary,
    total,
    visible,
    years,
)
from data_prep.card.steps import meaning
from data_prep.card.told import looked_for, told
from geo_nemo.common.counts import plural
from geo_nemo.reporting.html import page
from geo_nemo.reporting.tables import short
from geo_nemo.store.manifest import SPLITS

SHOWN_COUNTRIES, SHOWN_INPUTS = 15, 20
COMMAND = "geo-nemo prep run prep.yaml"


@dataclass(frozen=True)
class Reason:
    """A line of the table of drops."""

    name: str
    step: str
    records: str
    fraction: str
    meaning: str
    file: str


@dataclass(frozen=True)
class Place:
    """A line of a table by country or continent."""

    name: str
    code: str
    splits: tuple[str, ...]
    tokens: str
    rate: str
    fraction: str
    widths: tuple[float, ...]


def to_html(data: CardData) -> str:
    """The page; the same card gives the same page. Whatever came from the data is escaped."""
    countries = places(data)
    return page(
        Path(__file__).parent,
        "template.html.j2",
        {"visible": visible, "count": count, "meaning": meaning},
        data=data,
        summary=summary(data),
        tiles=_tiles(data),
        splits=[name for name in SPLITS if name in data.splits],
        funnel=figures.funnel(data),
        reasons=reasons(data),
        lost=data.lost[:SHOWN_INPUTS],
        lost_files=lost_files(data),
        lost_how=lost_how,
        notes=data.notes[:SHOWN_INPUTS],
        continents=continents(data),
        countries=countries[:SHOWN_COUNTRIES],
        other_countries=countries[SHOWN_COUNTRIES:],
        few_tests=few_tests(data),
        split_rule=split_rule(data.settings),
        year_columns=figures.year_columns(data),
        undated=_undated(data),
        length_columns=figures.length_columns(data),
        median_length=figures.median_length(data),
        quality_columns=figures.quality_columns(data),
        languages=figures.bars(
            {n or "not identified": v for n, v in total(data, "languages").items()}
        ),
        language_rates=figures.language_rates(data),
        sources=figures.bars(total(data, "sources")),
        fields=[
            (name, field, value_words(field), figures.bars(field.top))
            for name, field in data.fields.items()
        ],
        field_notes=field_notes(data),
        extractors=figures.bars(data.extractors),
        hosts=_hosts(data),
        host_fraction=fraction(sum(h.documents for h in data.hosts), data.documents),
        evidence=figures.bars(total(data, "evidence")),
        evidence_meaning=EVIDENCE,
        masked=figures.bars({MASKED.get(kind, kind): n for kind, n in data.masked.items()}),
        clusters=_clusters(data),
        limits=[*looked_for(data), *limits(data)],
        told=told(data),
        inputs=data.inputs[:SHOWN_INPUTS],
        more_inputs=max(len(data.inputs) - SHOWN_INPUTS, 0),
        input_size=size(sum(entry.bytes for entry in data.inputs)),
        size=size,
        fraction=fraction,
        plural=plural,
        command=COMMAND,
        settings=json.dumps(data.settings, indent=1, ensure_ascii=False, sort_keys=True),
    )


def reasons(data: CardData) -> list[Reason]:
    """Every reason that dropped a record, by step."""
    return [
        Reason(name, step.name, count(number), fraction(number, data.found), meaning(name),
               drops_file(name))
        for step in data.steps
        for name, number in step.dropped.items()
    ]  # fmt: skip


def places(data: CardData) -> list[Place]:
    """Countries, those with most documents first."""
    numbers = {
        country: tuple(_documents(data, split, country) for split in SPLITS)
        for country in data.continents
    }
    ordered = sorted(numbers, key=lambda country: (-sum(numbers[country]), country))
    longest = max((sum(parts) for parts in numbers.values()), default=0)
    return [
        _place(data, data.country_names[c], c, numbers[c], _tokens(data, [c]), longest, [c])
        for c in ordered
    ]


def continents(data: CardData) -> list[Place]:
    """Continents, and all together last."""
    members: dict[str, list[str]] = {}
    for country, continent in data.continents.items():
        members.setdefault(continent, []).append(country)
    numbers = {
        name: tuple(sum(_documents(data, split, c) for c in found) for split in SPLITS)
        for name, found in sorted(members.items())
    }
    longest = max((sum(parts) for parts in numbers.values()), default=0)
    found = []
    for name, parts in numbers.items():
        listed = ", ".join(sorted(members[name])) if len(members[name]) <= 12 else ""
        code = listed or f"{len(members[name])} countries"
        found.append(
            _place(data, name, code, parts, _tokens(data, members[name]), longest, members[name])
        )
    whole = tuple(data.splits[split].documents for split in SPLITS)
    return [*found, _place(data, "All", "", whole, data.tokens, 0, list(data.continents))]


def _place(
    data: CardData,
    name: str,
    code: str,
    parts: tuple[int, ...],
    tokens: int | None,
    longest: int,
    countries: list[str],
) -> Place:
    text_bytes = sum(
        split.countries[country].text_bytes
        for split in data.splits.values()
        for country in countries
        if country in split.countries
    )
    return Place(
        name,
        code,
        tuple(map(count, parts)),
        "" if tokens is None else short(tokens),
        "" if tokens is None or not text_bytes else f"{tokens / text_bytes:.3f}",
        fraction(sum(parts), data.documents),
        figures.split_bar(parts, longest),
    )


def _documents(data: CardData, split: str, country: str) -> int:
    found = data.splits[split].countries.get(country)
    return found.documents if found else 0


def _tokens(data: CardData, countries: list[str]) -> int | None:
    found = [
        split.countries[country].tokens
        for split in data.splits.values()
        for country in countries
        if country in split.countries
    ]
    return None if None in found else sum(found)


def _tiles(data: CardData) -> list[tuple[str, str, str]]:
    """Name, figure and exact figure of the headline numbers."""
    found = [("documents", short(data.documents), count(data.documents))]
    if data.tokens is not None:
        found.append(("tokens", short(data.tokens), count(data.tokens)))
    text_bytes = sum(split.text_bytes for split in data.splits.values())
    found += [
        ("of text", size(text_bytes), f"{count(text_bytes)} bytes of UTF-8"),
        ("countries", count(len(known_countries(data))), ""),
        ("hosts", short(data.distinct_hosts), count(data.distinct_hosts)),
        ("years", years(data), ""),
    ]
    return found


def _undated(data: CardData) -> str:
    number = total(data, "years").get("0", 0)
    return f"{plural(number, 'document')} ({fraction(number, data.documents)})" if number else ""


def _hosts(data: CardData) -> list[figures.Bar]:
    longest = data.hosts[0].documents if data.hosts else 0
    return [
        figures.Bar(visible(h.host), count(h.documents), fraction(h.documents, data.documents),
                    figures.split_bar((h.documents,), longest))
        for h in data.hosts
    ]  # fmt: skip


def _clusters(data: CardData) -> dict[str, Any] | None:
    if data.clusters is None or not data.clusters.clusters:
        return None
    return {
        "documents": count(data.clusters.documents_in_clusters),
        "mean": f"{data.clusters.documents_in_clusters / data.clusters.clusters:.1f}",
        "largest": figures.cluster_columns(data),
    }
