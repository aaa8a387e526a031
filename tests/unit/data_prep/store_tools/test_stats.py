"""Counts of a store, against plain Python over its documents."""

from collections import Counter

import numpy as np
import pytest

from data_prep.store_tools import stats as stats_module
from data_prep.store_tools.stats import Bin, store_stats
from geo_nemo.common.errors import UserError
from geo_nemo.store import TokenStore
from tests.unit.data_prep.store_tools.worlds import CONTINENTS, Text, write_store

rng = np.random.default_rng(3)
COUNTRIES = ("gb", "ke", "us")
TEXTS = [
    Text(
        "w " * int(rng.integers(1, 90)) + str(i),
        "Title" if i % 3 else "",
        COUNTRIES[int(rng.integers(3))],
        f"h{int(rng.integers(9))}.com",
        year=int(rng.choice([0, 2019, 2020])),
        quality=int(rng.integers(101)),
        source=str(rng.choice(["now", "web"])),
    )
    for i in range(60)
]


@pytest.fixture(scope="module")
def store(tokenizer_paths, tmp_path_factory):
    root = tmp_path_factory.mktemp("stats") / "store"
    splits = {"train": TEXTS[:45], "test": TEXTS[45:]}
    return TokenStore.open(write_store(root, tokenizer_paths["llama_3"], splits, 20))


@pytest.fixture(scope="module")
def lengths(store):
    tokenizer = store.tokenizer()
    return [
        len(tokenizer.encode(f" {t.body}"))
        + (len(tokenizer.encode(f" {t.title}\n\n")) if t.title else 0)
        for t in TEXTS
    ]


def counted(lengths, value_of) -> dict[str, tuple[int, int]]:
    documents, tokens = Counter(), Counter()
    for text, length in zip(TEXTS, lengths, strict=True):
        documents[value_of(text)] += 1
        tokens[value_of(text)] += length
    return {value: (documents[value], tokens[value]) for value in documents}


def as_dict(counts) -> dict[str, tuple[int, int]]:
    return {count.name: (count.documents, count.tokens) for count in counts}


def test_counts_by_every_column(store, lengths):
    stats = store_stats(store)
    assert (stats.documents, stats.tokens) == (60, sum(lengths))
    assert as_dict(stats.countries) == counted(lengths, lambda t: t.country)
    assert as_dict(stats.continents) == counted(lengths, lambda t: CONTINENTS[t.country])
    assert as_dict(stats.hosts) == counted(lengths, lambda t: t.host)
    assert as_dict(stats.sources) == counted(lengths, lambda t: t.source)
    assert as_dict(stats.years) == counted(lengths, lambda t: str(t.year))
    assert [c.name for c in stats.years] == ["0", "2019", "2020"]
    tokens = [c.tokens for c in stats.hosts]
    assert tokens == sorted(tokens, reverse=True)
    assert {c.name: c.continent for c in stats.countries} == {c: CONTINENTS[c] for c in COUNTRIES}


def test_splits_and_top_hosts(store, lengths):
    stats = store_stats(store, ["test"], top_hosts=2)
    assert [(s.name, s.documents, s.tokens) for s in stats.splits] == [
        ("test", 15, sum(lengths[45:]))
    ]
    assert stats.splits[0].titled == sum(bool(t.title) for t in TEXTS[45:])
    assert stats.documents == 15
    assert stats.num_hosts == len({t.host for t in TEXTS[45:]})
    assert len(stats.hosts) == 2


def test_lengths_and_quality(store, lengths):
    stats = store_stats(store)
    ordered = sorted(lengths)
    expected = {q: ordered[int(np.ceil(float(q) * 60)) - 1] for q in stats.length_quantiles}
    assert stats.length_quantiles == expected
    assert stats.longest == max(lengths)
    for each in stats.lengths:
        inside = [n for n in lengths if n >= each.low and (each.high is None or n < each.high)]
        assert each.documents == len(inside)
    assert sum(each.documents for each in stats.lengths) == 60
    for each in stats.quality:
        high = 101 if each.high is None else each.high
        assert each.documents == sum(each.low <= t.quality < high for t in TEXTS)
    assert sum(each.documents for each in stats.quality) == 60


def test_lengths_above_the_counted_ones_are_one_bin(store, lengths, monkeypatch):
    monkeypatch.setattr(stats_module, "COUNTED_TOKENS", 32)
    monkeypatch.setattr(stats_module, "EDGES", (1, 8, 32))
    stats = store_stats(store)
    assert stats.lengths[-1] == Bin(
        low=32, high=None, documents=sum(length >= 32 for length in lengths)
    )
    assert stats.longest == max(lengths) > 32


def test_what_cannot_be_counted_is_one_line(store):
    with pytest.raises(UserError, match="no split tets, only train, validation, test"):
        store_stats(store, ["tets"])
    with pytest.raises(UserError, match="no documents in validation"):
        store_stats(store, ["validation"])
