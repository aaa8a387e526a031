"""Numbers of countries, of a World Factbook in JSON Lines: does a model know the right magnitude?

After WorldBench (arXiv 2404.17343), which has models write numbers of the World Bank; here a number
stands among three others, each a factor apart, so that every model of likelihoods can be asked. The
right one's rank among them is drawn by the question's id, as far as bounds of the figure let it.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError
from geo_nemo.metadata.geography import countries

OPTIONS = 4


@dataclass(frozen=True)
class Number:
    """A figure that countries have. pattern: its place in the text of a chapter, first group.

    factor: between neighbouring options. most: no option is above it.
    """

    name: str
    question: str
    pattern: str
    factor: float = 2.0
    unit: str = ""
    most: float = float("inf")


NUMBERS = (
    Number("population", "What is the population of {}?", r"Population:\ntotal: ([\d,]+)"),
    Number("area", "What is the area of {}?", r"Area:\ntotal: ([\d,]+) sq km", unit=" sq km"),
    Number("coastline", "How long is the coastline of {}?", r"Coastline: ([\d,]+) km", unit=" km"),
    Number("median age", "What is the median age in {}?", r"Median age:\ntotal: ([\d.]+) years",
           1.25, " years", 70),
    Number("life expectancy", "What is the life expectancy at birth in {}?",
           r"Life expectancy at birth:\ntotal population: ([\d.]+) years", 1.1, " years", 95),
    Number("births", "How many births a year are there per 1,000 people in {}?",
           r"Birth rate: ([\d.]+) births", 1.5),
    Number("children", "How many children are born per woman in {}?",
           r"Total fertility rate: ([\d.]+) children", 1.3),
    Number("infant mortality", "How many infants of 1,000 live births die in {}?",
           r"Infant mortality rate:\ntotal: ([\d.]+) deaths"),
    Number("urban", "Which part of the people of {} live in cities?",
           r"urban population: ([\d.]+)% of total", 1.25, "%", 100),
    Number("gdp per head", "What is the GDP per capita of {}, in US dollars?",
           r"Real GDP per capita:\n(?:Real GDP per capita \d{4}: )?\$([\d,]+)"),
)  # fmt: skip


class Factbook:
    """Chapters with `country`, a code, and `text`, a line or two each figure; also as `.gz`."""

    files = ("factbook",)
    source = "The World Factbook (CC0), as JSON Lines of country and text"
    columns = ("country", "text")

    def __init__(self, path: Path | None):
        if path is None:
            raise UserError("give its file as questions=factbook.jsonl.gz")
        self.path = path

    def rows(self) -> Iterator[Any]:
        """A question each figure and country, once; the first chapter that has it counts."""
        seen: set[str] = set()
        for country, text in self._chapters():
            name = countries()[country].name if country in countries() else ""
            for number in NUMBERS if name else ():
                found = re.search(f"^{number.pattern}", text, re.MULTILINE)
                key = f"{country}/{number.name}"
                if found is None or key in seen:
                    continue
                seen.add(key)
                options, answer = choices(found.group(1), number, key)
                if len(set(options)) == OPTIONS:
                    yield {
                        "id": key, "kind": "numbers", "country": country,
                        "prompt": number.question.format(name), "options": options,
                        "answer": answer,
                    }  # fmt: skip

    def _chapters(self) -> Iterator[tuple[str, str]]:
        opened = gzip.open if self.path.suffix == ".gz" else open
        try:
            with opened(self.path, "rt", encoding="utf-8") as lines:
                for line in lines:
                    row = parse_json(line)
                    yield str(row["country"]), str(row["text"])
        except (OSError, EOFError) as error:
            raise UserError(f"cannot read {self.path}: {error}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path} is no factbook in JSON Lines: {error}") from None


def choices(written: str, number: Number, key: str) -> tuple[list[str], int]:
    """Four figures from the smallest, as `written` is, and the place of the right one."""
    value = float(written.replace(",", ""))
    decimals = len(written.partition(".")[2])
    places = [
        place
        for place in range(OPTIONS)
        if value * number.factor ** (OPTIONS - 1 - place) <= number.most
    ] or [OPTIONS - 1]
    place = places[zlib.crc32(key.encode()) % len(places)]
    figures = [value * number.factor ** (n - place) for n in range(OPTIONS)]
    texts = [f"{figure:,.{decimals}f}{number.unit}" for figure in figures]
    texts[place] = written + number.unit
    return texts, place
