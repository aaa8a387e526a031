"""Small corpora as ingest leaves them, with decisions and overlaps that a test chooses.

The packages data_prep.dedup and data_prep.overlap have tests of their own; here they are what
their contract says, so that a test can ask for any outcome.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import orjson
import xxhash

from data_prep.config import Prep
from data_prep.document import Document
from data_prep.engine import Task
from data_prep.ingest import PARTS_NAME, TASKS_NAME, Ingest, PartRef, all_parts
from data_prep.parts import PartWriter
from geo_nemo.metadata.geography import continent_of

DEDUP_OUTCOMES = (
    "kept", "duplicate_id", "duplicate_content", "near_duplicate", "held_by_earlier_run",
)  # fmt: skip
DOMAINS = {"gb": "news.co.uk", "ke": "daily.co.ke", "us": "example.com", "ie": "paper.ie"}


def document(number: int, country: str = "gb", **changes) -> Document:
    """A good document, unlike every other `number`."""
    domain = DOMAINS.get(country, f"news.{country}")
    text = changes.pop("text", f"Report {number} of {country}: the harbour council met.")
    values = {
        "id": f"doc-{number}",
        "url": f"https://www.{domain}/story/{number}",
        "host": f"www.{domain}",
        "domain": domain,
        "path": f"/story/{number}",
        "country": country,
        "continent": continent_of(country),
        "evidence": "domain",
        "confidence": 0.75,
        "language": "en",
        "language_score": 0.875,
        "date": f"{2015 + number % 10}-03-01",
        "year": 2015 + number % 10,
        "quality": number % 101,
        "source": "default",
        "title": f"Story {number}",
        "text": text,
        "hash": xxhash.xxh3_128_digest(text.encode()),
    }
    return Document(**(values | changes))


@dataclass
class Corpus:
    """A config, its documents in order of their numbers, and what is decided of them.

    dropped: number of a document to (outcome's name, number of its first). clusters: number of a
    document that is kept to the number of its cluster's first. hits: numbers.
    """

    config: Prep
    documents: list[Document]
    dropped: dict[int, tuple[str, int]] = field(default_factory=dict)
    clusters: dict[int, int] = field(default_factory=dict)
    hits: set[int] = field(default_factory=set)

    def parts(self) -> list[PartRef]:
        return all_parts(self.config)

    def decisions(self, config: Prep, part: PartRef) -> SimpleNamespace:
        numbers = range(part.start, part.start + part.documents)
        leader = [self.dropped[n][1] if n in self.dropped else self.clusters.get(n, n)
                  for n in numbers]  # fmt: skip
        outcome = [DEDUP_OUTCOMES.index(self.dropped.get(n, ("kept",))[0]) for n in numbers]
        words = [self.documents[n].hash[:8] for n in leader]
        return SimpleNamespace(
            outcome=np.array(outcome, np.uint8),
            cluster=np.array([int.from_bytes(word) for word in words], np.uint64),
            leader=np.array(leader, np.int64),
        )

    def install(self, monkeypatch) -> None:
        """Stand in for the packages that decide."""
        dedup = ModuleType("data_prep.dedup")
        dedup.OUTCOMES = DEDUP_OUTCOMES
        dedup.decisions = self.decisions
        dedup.decision_keys = lambda config: (
            [repr((self.dropped, self.clusters))] * len(self.parts())
        )
        monkeypatch.setitem(sys.modules, "data_prep.dedup", dedup)
        monkeypatch.setattr(
            "data_prep.overlap.hits",
            lambda config, part: np.array(
                [n in self.hits for n in range(part.start, part.start + part.documents)], bool
            ),
        )
        monkeypatch.setattr(
            "data_prep.overlap.hit_keys",
            lambda config: [repr(sorted(self.hits))] * len(self.parts()),
        )


def make_corpus(folder: Path, documents: list[Document], part_documents: int, **settings) -> Corpus:
    """Write the documents as parts of an ingest that is done, for a config with `settings`."""
    config = Prep(
        input=("raw.jsonl",),
        output=str(folder),
        execution={"workers": 1},
        **settings,
    )
    ingest = Ingest(config)
    task = ingest.folder / "00000"
    task.mkdir(parents=True)
    writer = PartWriter(task, part_documents)
    for each in documents:
        writer.add(each)
    entries, start = [], 0
    for number, part in enumerate(writer.close()):
        entries.append({
            "id": f"00000-{number:05d}", "path": f"00000/{part.path.name}", "key": "k",
            "documents": part.documents, "text_bytes": part.text_bytes, "start": start,
        })  # fmt: skip
        start += part.documents
    (ingest.folder / PARTS_NAME).write_bytes(orjson.dumps(entries))
    return Corpus(config, documents)


def end_ingest(config: Prep, task: Task) -> None:
    """Say that the ingest of a config ended with this task alone."""
    ingest = Ingest(config)
    (ingest.folder / TASKS_NAME).write_bytes(ingest.ended([task]))
