"""Records of web news: URL, country, title, text, date; the same count and seed, the same bytes."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.corpora.words import CAPITAL, WordModel

# The countries of "Metadata Conditioned LLMs for Localization" and endings of their outlets.
ENDINGS = {
    "bd": (".com.bd",), "hk": (".hk", ".com.hk"), "in": (".in", ".co.in"), "lk": (".lk",),
    "my": (".com.my", ".my"), "ph": (".com.ph", ".ph"), "pk": (".com.pk", ".pk"),
    "sg": (".sg", ".com.sg"), "ca": (".ca",), "jm": (".com.jm",), "us": (".com", ".org", ".net"),
    "gb": (".co.uk", ".org.uk", ".uk"), "ie": (".ie",), "gh": (".com.gh",), "ke": (".co.ke",),
    "ng": (".com.ng", ".ng"), "za": (".co.za",), "tz": (".co.tz",),
}  # fmt: skip
SECTIONS = ("news", "world", "business", "sport", "politics", "opinion", "local", "article")
TRACKING = (
    "",
    "",
    "",
    "",
    "?utm_source=rss&utm_medium=feed",
    "?fbclid=IwAR0x9",
    "#comments",
    "?page=2",
)
HOSTS = 4000
MEDIAN_WORDS, SPREAD = 450, 0.6
BLOCK = 512


@cache
def word_model() -> WordModel:
    return WordModel()


class Outlets:
    """Hosts with a country each; some outlets have many documents and most have few."""

    def __init__(self, seed: int = 11, count: int = HOSTS):
        rng = np.random.default_rng(seed)
        model = word_model()
        codes = list(ENDINGS)
        self.hosts, self.countries = [], []
        for number in range(count):
            code = codes[int(rng.integers(len(codes)))]
            endings = ENDINGS[code]
            first, second = (model.words[i] for i in rng.integers(150, model.common, 2))
            start = ("www.", "", "news.")[int(rng.integers(3))]
            name = f"{first}{second}" if number % 3 else f"{first}-{second}"
            self.hosts.append(f"{start}{name}{endings[int(rng.integers(len(endings)))]}")
            self.countries.append(code)
        weights = 1 / (np.arange(count) + 5.0)
        self._cumulative = np.cumsum(weights / weights.sum())

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.searchsorted(self._cumulative, rng.random(count)).clip(0, len(self.hosts) - 1)


@cache
def outlets() -> Outlets:
    return Outlets()


def records(
    count: int, seed: int = 0, median_words: int = MEDIAN_WORDS, spread: float = SPREAD
) -> Iterator[dict[str, Any]]:
    """`count` records. spread: standard deviation of the logarithm of the number of words."""
    model = word_model()
    for start in range(0, count, BLOCK):
        rng = np.random.default_rng([seed, start])
        rows = min(BLOCK, count - start)
        lengths = np.exp(rng.normal(np.log(median_words), spread, rows)).astype(int).clip(8, 20_000)
        ids, forms = model.draw(rng, lengths.sum()), model.forms(rng, lengths.sum())
        ends = np.cumsum(lengths)
        forms[ends - lengths] = CAPITAL
        heads = _heads(rng, start, rows)
        for head, end, length in zip(heads, ends.tolist(), lengths.tolist(), strict=True):
            part = slice(end - length, end)
            yield head | {"text": model.text(ids[part], forms[part])}


def _heads(rng: np.random.Generator, start: int, rows: int) -> list[dict[str, Any]]:
    """Everything of records but their texts."""
    model, known = word_model(), outlets()
    titles = model.draw(rng, rows * 9).reshape(rows, 9)
    hosts = known.draw(rng, rows).tolist()
    days = np.datetime64("2010-01-01") + rng.integers(0, 5400, rows)
    drawn = rng.integers(0, 1 << 30, (rows, 3)).tolist()
    heads = []
    for row in range(rows):
        section, tracking, scheme = drawn[row]
        date = str(days[row])
        slug = "-".join(model.words[i].lower() for i in titles[row])
        heads.append(
            {
                "id": f"n{start + row:09d}",
                "url": f"http{'s' if scheme % 8 else ''}://{known.hosts[hosts[row]]}/"
                f"{SECTIONS[section % len(SECTIONS)]}/{date[:7].replace('-', '/')}/"
                f"{slug}-{start + row}{TRACKING[tracking % len(TRACKING)]}",
                "country": known.countries[hosts[row]],
                "title": model.title(titles[row]),
                "date": date,
            }
        )
    return heads


def urls(count: int, seed: int = 0) -> Iterator[str]:
    """`count` URLs, each another page."""
    for start in range(0, count, BLOCK):
        rng = np.random.default_rng([seed, 1, start])
        yield from (head["url"] for head in _heads(rng, start, min(BLOCK, count - start)))


def write_jsonl(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    """Write rows as lines; bytes of their texts."""
    text_bytes = 0
    with path.open("wb") as file:
        for row in rows:
            text_bytes += len(row["text"].encode())
            file.write(orjson.dumps(row) + b"\n")
    return text_bytes
