"""The card's counts, from the stages' results."""

import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.card import Card, Profile
from data_prep.card.data import LENGTH_BINS, CardData
from data_prep.card.profile import length_bins, length_edge
from data_prep.card.steps import STEPS, step_of
from data_prep.clean.masks import count_masks
from data_prep.corpus_out import CorpusStage
from data_prep.engine import run_stage
from data_prep.engine.receipt import build_task_folder
from data_prep.engine.stage import Task
from data_prep.final import final_outcomes
from data_prep.ingest import Ingest
from data_prep.quarantine import REASONS
from data_prep.splits import OUTCOMES, split_stages
from data_prep.splits.outcomes import DROPS
from tests.unit.data_prep.splits.corpora import Corpus, document, end_ingest, make_corpus

MASKED = " [EMAIL] [IP] @ @ @ @ @ @ @ @ @ @"
INGEST_DROPS = {"broken_json": 4, "no_country": 30, "language_not_listed": 6}


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Corpus:
    return prepared(tmp_path / "out", monkeypatch)


def prepared(folder: Path, monkeypatch) -> Corpus:
    documents = [
        document(
            i, ("gb", "ke", "us")[i % 3], source=("a", "b")[i % 2], language=("en", "")[i % 5 == 0],
            text="x" * (i * 7 + 1) + MASKED * (i % 3), title="[EMAIL]" * (i % 2),
            year=0 if i % 4 == 0 else 2000 + i % 9,
        )
        for i in range(300)
    ]  # fmt: skip
    for each in documents:
        count_masks(each, ["email"])
    made = make_corpus(
        folder, documents, 70, splits={"test_per_continent": 12}, clean={"pii": ["email"]}
    )
    made.dropped = {9: ("duplicate_content", 0), 44: ("near_duplicate", 2)}
    made.hits = set(range(100, 120))
    made.install(monkeypatch)
    overlap = sys.modules["data_prep.overlap"]
    overlap.report_rows = lambda config: [
        {"name": "questions", "texts": 10, "contaminated": 2, "documents": 20}
    ]
    clusters = ModuleType("data_prep.dedup.clusters")
    counts = {"clusters": 2, "documents_in_clusters": 4, "largest_clusters": [2, 2]}
    clusters.Dedup = lambda config: SimpleNamespace(
        receipts=lambda: [SimpleNamespace(counts=counts)]
    )
    monkeypatch.setitem(sys.modules, "data_prep.dedup.clusters", clusters)
    task = Task("00000", "key", 1, {})
    folder = Ingest(made.config).task_folder("00000")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def build(partial: Path) -> dict:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        return {
            # 36 of those read were dropped; 4 could not be read.
            "read": 336, "kept": 300, "text_bytes": 9000, "drops": INGEST_DROPS,
            "evidence": {}, "countries": {},
            "sources": [{"name": "raw.jsonl", "bytes": 5, "xxh3_128": "00"}],
        }  # fmt: skip

    build_task_folder(folder, task.key, build)
    end_ingest(made.config, task)
    return made


def run(corpus: Corpus) -> CardData:
    for stage in (*split_stages(), CorpusStage, Profile, Card):
        run_stage(stage(corpus.config))
    return CardData.model_validate_json((Path(corpus.config.output) / "report.json").read_bytes())


def by_split(corpus: Corpus) -> dict[str, list]:
    """The documents of each outcome."""
    found: dict[str, list] = {name: [] for name in OUTCOMES}
    for part in corpus.parts():
        outcome = final_outcomes(corpus.config, part)
        for row in range(part.documents):
            found[OUTCOMES[outcome[row]]].append(corpus.documents[part.start + row])
    return found


def test_the_card_counts_what_is_in_each_split(corpus):
    data, expected = run(corpus), by_split(corpus)
    for split in ("train", "validation", "test"):
        mine, found = expected[split], data.splits[split]
        assert found.documents == len(mine)
        assert found.text_bytes == sum(len(d.text.encode()) for d in mine)
        assert {c: n.documents for c, n in found.countries.items()} == Counter(
            d.country for d in mine
        )
        assert found.languages == Counter(d.language for d in mine)
        assert found.years == Counter(str(d.year) for d in mine)
        assert found.sources == Counter(d.source for d in mine)
        assert found.quality == tuple(
            np.bincount([d.quality for d in mine], minlength=101).tolist()
        )
        assert sum(found.lengths) == len(mine)
        for country, counted in found.countries.items():
            assert counted.text_bytes == sum(len(d.text) for d in mine if d.country == country)
    inside = [d for split in ("train", "validation", "test") for d in expected[split]]
    hosts = Counter(d.host for d in inside)
    assert {h.host: h.documents for h in data.hosts} == hosts
    assert data.distinct_hosts == 3


def test_found_less_dropped_is_what_is_there(corpus):
    data = run(corpus)
    assert data.found == 340
    dropped = {reason: n for step in data.steps for reason, n in step.dropped.items()}
    removed = len(by_split(corpus)["evaluation_overlap"])
    assert removed > 0
    assert dropped == INGEST_DROPS | {
        "duplicate_content": 1, "near_duplicate": 1, "evaluation_overlap": removed,
    }  # fmt: skip
    assert data.documents == 298 - removed


def test_examples_are_train_documents_of_each_continent(corpus):
    data = run(corpus)
    train = {(d.host, d.title, d.text[:240]) for d in by_split(corpus)["train"]}
    assert [e.continent for e in data.examples] == ["Africa", "America", "Europe"]
    assert all((e.host, e.title, e.beginning) in train for e in data.examples)


def test_masks_are_counted_in_what_was_kept(corpus):
    data, expected = run(corpus), by_split(corpus)
    kept = [d for split in ("train", "validation", "test") for d in expected[split]]
    assert data.masked == {  # addresses were not masked: [IP] is the text's own
        "email": sum((d.title + d.text).count("[EMAIL]") for d in kept),
        "now": sum(d.text.count("@ @") // 5 for d in kept),
    }


def test_the_rest_of_the_card(corpus):
    data = run(corpus)
    assert data.title == "raw.jsonl"
    assert data.overlap[0].name == "questions"
    assert data.clusters.largest == (2, 2)
    assert data.tokens is None  # there is no store
    assert set(data.hashes) == {"input", "settings", "corpus/corpus.json"}
    assert not {"output", "execution", "keep_work"} & set(data.settings)
    output = Path(corpus.config.output)
    assert "Data card" in (output / "card.html").read_text(encoding="utf-8")
    assert (output / "card.md").read_text(encoding="utf-8").startswith("# Data card: raw")


def test_another_output_folder_gives_the_same_card(tmp_path, monkeypatch):
    found = []
    for name in ("a", "b"):
        corpus = prepared(tmp_path / name, monkeypatch)
        run(corpus)
        output = Path(corpus.config.output)
        found.append([(output / f).read_bytes() for f in ("report.json", "card.md", "card.html")])
    assert found[0] == found[1]
    assert str(tmp_path).encode() not in b"".join(found[0])


def test_report_json_holds_no_time(corpus):
    run(corpus)
    report = json.loads((Path(corpus.config.output) / "report.json").read_bytes())
    assert not {"seconds", "started", "finished", "time"} & set(report)


def test_every_reason_belongs_to_a_step():
    assert {step_of(reason) for reason in (*REASONS, *DROPS)} <= set(STEPS)
    assert step_of("gopher_quality.stop_words") == "clean"
    assert step_of("held_by_earlier_run") == "exact"
    assert step_of("country_not_listed") == "origin"
    assert step_of("invalid_utf8") == "read"


@given(st.lists(st.integers(1, 2**21), min_size=1))
def test_a_length_is_between_the_edges_of_its_bin(lengths):
    for length, found in zip(lengths, length_bins(np.array(lengths)).tolist(), strict=True):
        assert length >= length_edge(found)
        assert found == LENGTH_BINS - 1 or length < length_edge(found + 1)
        # In whole numbers: length >= 2^(k/2) if and only if length^2 >= 2^k.
        assert length**2 >= 2**found


def test_no_text_at_all_is_in_the_first_bin():
    assert length_bins(np.array([0, 1, 2, 3, 4])).tolist() == [0, 0, 2, 3, 4]
