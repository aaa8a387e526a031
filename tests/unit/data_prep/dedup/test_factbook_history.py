"""The Factbook's editions of several years: their near-duplicates, against exact similarity."""

import gzip
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import orjson
import pytest

from tests.unit.data_prep.dedup.corpora import Doc, joined, make, run

HISTORY = Path(__file__).resolve().parents[5] / "shared/data/factbook_history.jsonl.gz"
pytestmark = pytest.mark.skipif(not HISTORY.exists(), reason="no shared data here")
NGRAM, COUNTRIES = 5, 16


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))}


def test_yearly_near_duplicates_of_a_country_and_chapter_are_in_one_cluster(tmp_path):
    with gzip.open(HISTORY) as file:
        records = [orjson.loads(line) for line in file]
    # factbook/<year>/<country>/<chapter>
    wanted = sorted({record["country"] for record in records})[:COUNTRIES]
    records = [record for record in records if record["country"] in wanted]
    docs = [Doc(record["text"], f"{i} {record['id']}") for i, record in enumerate(records)]
    half = len(docs) // 2
    config = make(tmp_path, [docs[:half], docs[half:]], near={"action": "drop"})
    outcome, _, leader = joined(run(config))
    editions = defaultdict(list)
    for i, record in enumerate(records):
        _, year, country, chapter = record["id"].split("/")
        editions[country, chapter].append((year, i))
    sets = [shingles(doc.text) for doc in docs]
    near = []
    for group in editions.values():
        for (year, i), (other, j) in combinations(group, 2):
            if year != other and len(sets[i] & sets[j]) >= 0.8 * len(sets[i] | sets[j]):
                near.append((i, j))
    found = sum(leader[i] == leader[j] for i, j in near)
    assert len(near) > 300
    assert found >= 0.98 * len(near)
    # And what is dropped nearly equals some document of its cluster.
    members = defaultdict(list)
    for i, first in enumerate(leader):
        members[first].append(i)
    dropped = [i for i, reason in enumerate(outcome) if reason == 3]
    similar = [
        max(len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for j in members[leader[i]] if j != i)
        for i in dropped
    ]
    assert len(dropped) > 100
    assert min(similar) > 0.55
    assert sum(value >= 0.73 for value in similar) >= 0.9 * len(dropped)
