"""The stage `profile`: what a data card counts of each part's documents, by split.

Texts are read for the examples alone. In memory: a row group, the counts, and the part's hosts.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from data_prep.card.data import LENGTH_BINS, QUALITY_BINS
from data_prep.document import MASK_COUNTS
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.final import content_draws, final_keys, final_outcomes
from data_prep.ingest import PartRef, all_parts
from data_prep.parts import COUNTS, read_part, read_rows
from data_prep.splits import OUTCOMES
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.store.manifest import NO_QUALITY, SPLITS

PROFILE_VERSION = "4"
HOSTS_NAME = "hosts.json"
# Columns that are counted by value, and what the card calls them.
COUNTED = {
    "country": "countries",
    "language": "languages",
    "year": "years",
    "source": "sources",
    "evidence": "evidence",
}
# Columns of whose values the bytes of text are summed.
MEASURED = ("country", "language")
EXAMPLE_CHARACTERS = 240
_COLUMNS = ["host", "continent", "quality", *COUNTS, *COUNTED]


class Profile(Stage):
    """Counts each part."""

    name = "profile"

    def tasks(self) -> list[Task]:
        return [
            Task(part.id, task_key(PROFILE_VERSION, part.key, key), part.text_bytes, {})
            for part, key in zip(all_parts(self.config), final_keys(self.config), strict=True)
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        part = next(part for part in all_parts(self.config) if part.id == task.id)
        outcome = final_outcomes(self.config, part)
        draws = content_draws(self.config, part, np.arange(part.documents))
        counts = PartProfile()
        start = done = 0
        for batch in read_part(part.path, _COLUMNS):
            rows = slice(start, start + len(batch))
            done += counts.add(batch, outcome[rows], draws[rows])
            start += len(batch)
            progress(done, start)
        (folder / HOSTS_NAME).write_bytes(orjson.dumps(dict(sorted(counts.hosts.items()))))
        found = np.bincount(outcome, minlength=len(OUTCOMES)).tolist()
        return counts.to_json() | {
            "examples": _examples(part, counts.examples),
            "outcomes": dict(zip(OUTCOMES, found, strict=True)),
        }


class PartProfile:
    """Counts of the documents that are in a split.

    examples: by continent, draw and number of the train document with the lowest draw.
    """

    def __init__(self) -> None:
        self.hosts: Counter[str] = Counter()
        self.masked: Counter[str] = Counter()
        self.examples: dict[str, tuple[int, int]] = {}
        self._splits = {split: _SplitProfile() for split in SPLITS}
        self._seen = 0

    def add(self, batch: pa.RecordBatch, outcome: np.ndarray, draws: np.ndarray) -> int:
        """Count a batch; outcomes uint8 [n], draws uint64 [n]. UTF-8 bytes of all its texts."""
        for number, split in enumerate(SPLITS):
            at = np.flatnonzero(outcome == number)
            if len(at):
                self._splits[split].add(batch, at)
        inside = outcome < len(SPLITS)
        self.hosts.update(_value_counts(batch["host"].take(pa.array(np.flatnonzero(inside)))))
        for kind, column in MASK_COUNTS.items():
            self.masked[kind] += int(batch[column].to_numpy()[inside].sum(dtype=np.int64))
        self._find_examples(batch, np.flatnonzero(outcome == 0), draws)
        self._seen += len(batch)
        return int(batch["text_bytes"].to_numpy().sum(dtype=np.int64))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without the examples."""
        return {
            "masked": {kind: number for kind, number in sorted(self.masked.items()) if number},
            "splits": {split: found.to_json() for split, found in self._splits.items()},
        }

    def _find_examples(self, batch: pa.RecordBatch, train: np.ndarray, draws: np.ndarray) -> None:
        continents = batch["continent"].take(pa.array(train)).to_pylist()
        for continent in set(continents) - {UNKNOWN}:
            mine = train[[name == continent for name in continents]]
            row = int(mine[np.argmin(draws[mine])])
            found = int(draws[row]), self._seen + row
            self.examples[continent] = min(found, self.examples.get(continent, found))


class _SplitProfile:
    def __init__(self) -> None:
        self._documents = 0
        self._text_bytes: dict[str, Counter[str]] = {name: Counter() for name in MEASURED}
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTED.values()}
        self._quality = np.zeros(QUALITY_BINS, np.int64)
        self._unmeasured: Counter[str] = Counter()
        self._lengths = np.zeros(LENGTH_BINS, np.int64)

    def add(self, batch: pa.RecordBatch, at: np.ndarray) -> None:
        rows = pa.array(at)
        self._documents += len(at)
        for column, name in COUNTED.items():
            self._counts[name].update(_value_counts(batch[column].take(rows)))
        sizes = batch["text_bytes"].to_numpy()[at]
        for column, totals in self._text_bytes.items():
            values = batch[column].take(rows).dictionary_encode()
            sums = np.bincount(values.indices.to_numpy(), sizes, len(values.dictionary))
            for value, size in zip(values.dictionary.to_pylist(), sums, strict=True):
                totals[value] += int(size)
        quality = batch["quality"].take(rows).to_numpy(zero_copy_only=False)
        known = quality != NO_QUALITY
        self._quality += np.bincount(np.minimum(quality[known], 100), minlength=QUALITY_BINS)
        self._unmeasured.update(_value_counts(batch["language"].take(pa.array(at[~known]))))
        lengths = batch["characters"].to_numpy()[at]
        self._lengths += np.bincount(length_bins(lengths), minlength=LENGTH_BINS)

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self._documents,
            "text_bytes": dict(sorted(self._text_bytes["country"].items())),
            "language_bytes": dict(sorted(self._text_bytes["language"].items())),
            **{name: dict(sorted(found.items())) for name, found in self._counts.items()},
            "quality": self._quality.tolist(),
            "unmeasured": dict(sorted(self._unmeasured.items())),
            "lengths": self._lengths.tolist(),
        }


def length_bins(characters: np.ndarray) -> np.ndarray:
    """int [n]: the bin k of each length, which is in [2^(k/2), 2^((k+1)/2)); 0 for an empty one."""
    # In whole numbers: a logarithm may fall on the wrong side of a power of two.
    edges = np.array([length_edge(k) for k in range(1, LENGTH_BINS)])
    return np.searchsorted(edges, characters, side="right")


def length_edge(number: int) -> int:
    """The least number of characters in bin `number`."""
    half, odd = divmod(number, 2)
    return math.ceil(2**half * math.sqrt(2)) if odd else 2**half


def _examples(part: PartRef, chosen: dict[str, tuple[int, int]]) -> dict[str, dict[str, Any]]:
    """What the card shows of each continent's chosen document."""
    rows = [row for _, row in chosen.values()]
    documents = read_rows(part.path, rows, ["host", "country", "continent", "title", "text"])
    found = {}
    for (continent, (draw, _)), document in zip(chosen.items(), documents, strict=True):
        beginning = document.pop("text")[:EXAMPLE_CHARACTERS]
        found[continent] = {"draw": str(draw), **document, "beginning": beginning}
    return dict(sorted(found.items()))


def _value_counts(values: pa.Array) -> dict[str, int]:
    found = values.value_counts()
    names = map(str, found.field("values").to_pylist())
    return dict(zip(names, found.field("counts").to_pylist(), strict=True))
