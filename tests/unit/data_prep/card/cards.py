"""A hand-made data card."""

import math
from typing import Any

from data_prep.card.data import LENGTH_BINS, QUALITY_BINS, CardData
from data_prep.card.steps import steps
from data_prep.config import Prep
from geo_nemo.metadata.geography import continent_of, countries

DROPPED = {
    "broken_json": 12, "no_country": 4210, "country_disagrees": 311, "language_not_listed": 987,
    "gopher_quality.stop_words": 1510, "c4.lorem_ipsum": 3, "duplicate_id": 40,
    "duplicate_content": 2105, "near_duplicate": 3127, "over_cap": 5000, "evaluation_overlap": 17,
}  # fmt: skip
DOCUMENTS = {
    "us": 15000, "gb": 9120, "in": 7300, "ng": 2210, "za": 1800, "ke": 900, "ca": 3100, "ie": 400,
    "ph": 1200, "pk": 640, "my": 310, "gh": 205, "tz": 61, "bd": 420, "lk": 333, "hk": 90,
    "jm": 44, "sg": 510, "au": 700, "nz": 120,
}  # fmt: skip
FRACTIONS = {"train": 0.94, "validation": 0.02, "test": 0.04}


def split(name: str, **changes: Any) -> dict[str, Any]:
    """Counts of one split, all of which add up to its documents."""
    by_country = {}
    for country, number in DOCUMENTS.items():
        test, validation = number * 4 // 100, number * 2 // 100
        mine = {"test": test, "validation": validation, "train": number - test - validation}[name]
        by_country[country] = {
            "documents": mine, "text_bytes": 2900 * mine, "tokens": 640 * mine,
        }  # fmt: skip
    documents = sum(c["documents"] for c in by_country.values())
    found = {
        "documents": documents,
        "text_bytes": 2900 * documents,
        "tokens": 640 * documents,
        "countries": by_country,
        "languages": shared(documents, {"en": 970, "fr": 20, "es": 9, "de": 1}),
        "years": shared(documents, {"0": 40, **{str(y): y - 2005 for y in range(2010, 2025)}}),
        "sources": shared(documents, {"now": 700, "cc-news": 300}),
        "evidence": shared(documents, {"field": 500, "outlet": 300, "domain": 190, "likely": 10}),
        "quality": tuple(bell(documents, k, 62, 17) for k in range(QUALITY_BINS)),
        "lengths": tuple(bell(documents, k, 23, 2.6) for k in range(LENGTH_BINS)),
    }
    return found | changes


def shared(number: int, weights: dict[str, int]) -> dict[str, int]:
    """`number` shared out by weights; the first name has the rest."""
    whole = sum(weights.values())
    found = {name: number * weight // whole for name, weight in weights.items()}
    first = next(iter(weights))
    return found | {first: found[first] + number - sum(found.values())}


def bell(number: int, at: int, middle: float, width: float) -> int:
    return int(number * math.exp(-((at - middle) ** 2) / 2 / width**2) / width / 2.5066)


def card(**changes: Any) -> CardData:
    """The card; `changes` replace its fields."""
    splits = {name: split(name) for name in FRACTIONS}
    config = Prep(
        input=(
            {"path": "now.jsonl.gz", "name": "now"},
            {"path": "cc/*.warc.gz", "name": "cc-news"},
        ),
        output="out",
        annotate={"languages": ["en"], "countries": []},
        clean={"rules": ["gopher_quality", "c4"], "pii": ["email"]},
        dedup={"near": {"action": "drop"}},
        overlap={"evaluations": ["localnewsqa.jsonl"], "held_out": True},
        splits={"test_per_continent": 100},
    )  # fmt: skip
    data = {
        "title": "cc-news, now",
        "found": sum(DOCUMENTS.values()) + sum(DROPPED.values()),
        "text_bytes": 181_000_000,
        "steps": steps(DROPPED),
        "splits": splits,
        "continents": {c: continent_of(c) for c in sorted(DOCUMENTS)},
        "country_names": {c: countries()[c].name for c in DOCUMENTS},
        "hosts": [
            {"host": f"www.news-of-{n}-place.{'co.uk' if n % 3 else 'com'}", "documents": 4000 // n}
            for n in range(1, 51)
        ],
        "distinct_hosts": 1874,
        "clusters": {
            "clusters": 1204, "documents_in_clusters": 6476,
            "largest": [212, 90, 71, 44, 40, 31, 30, 22, 19, 12, 12, 11, 9, 8, 8, 8, 7, 7, 6, 6],
        },
        "overlap": [
            {"name": "LocalNewsQA", "texts": 800, "contaminated": 9, "documents": 14},
            {"name": "own test split", "texts": 2000, "contaminated": 3, "documents": 3},
        ],
        "masked": {"email": 1502},
        "tokenizer": {"kind": "sentencepiece", "vocab_size": 32000, "sha256": "ab" * 32},
        "examples": [
            {"host": "www.standardmedia.co.ke", "country": "ke", "continent": "Africa",
             "title": "Council opens new market in Kisumu",
             "beginning": "Traders moved into the rebuilt hall on Monday, a year later than was "
             "planned. The county says that rents stay as they are until June"},
            {"host": "news.co.uk", "country": "gb", "continent": "Europe", "title": "",
             "beginning": "Rain is expected over the weekend, with strong wind on the coast"},
        ],
        "inputs": [
            {"name": "now.jsonl.gz", "bytes": 31_204_881, "xxh3_128": "0f" * 16},
            {"name": "CC-NEWS-20240101000000-00001.warc.gz", "bytes": 1_073_741_824,
             "xxh3_128": "a1" * 16},
        ],
        "settings": config.model_dump(mode="json", exclude={"output", "execution", "keep_work"}),
        "hashes": {"input": "1c" * 32, "settings": "2d" * 32, "corpus/corpus.json": "3e" * 32,
                   "store/manifest.json": "4f" * 32},
    }  # fmt: skip
    return CardData(**(data | changes))
