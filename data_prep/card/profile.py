"""The stage `profile`: what a data card counts of each part's documents, by split.

In memory: a row group, the counts, and the hosts of the part.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from data_prep.card.data import LENGTH_BINS, QUALITY_BINS
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import all_parts
from data_prep.parts import read_part
from data_prep.splits import OUTCOMES, content_draws, final_keys, final_outcomes
from geo_nemo.store.manifest import SPLITS

PROFILE_VERSION = "1"
HOSTS_NAME = "hosts.json"
# Columns that are counted by value, and what the card calls them.
COUNTED = {
    "country": "countries",
    "language": "languages",
    "year": "years",
    "source": "sources",
    "evidence": "evidence",
}
EXAMPLE_CHARACTERS = 240
_COLUMNS = ["host", "continent", "quality", "title", "text", *COUNTED]


class Profile(Stage):
    """Counts each part."""

    name = "profile"

    def tasks(self) -> list[Task]:
        base = (PROFILE_VERSION, *self.config.clean.pii)
        return [
            Task(part.id, task_key(*base, part.key, key), part.text_bytes, {})
            for part, key in zip(all_parts(self.config), final_keys(self.config), strict=True)
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        part = next(part for part in all_parts(self.config) if part.id == task.id)
        outcome = final_outcomes(self.config, part)
        draws = content_draws(self.config, part, np.arange(part.documents))
        counts = PartProfile(self.config.clean.pii)
        start = done = 0
        for batch in read_part(part.path, _COLUMNS):
            rows = slice(start, start + len(batch))
            done += counts.add(batch, outcome[rows], draws[rows])
            start += len(batch)
            progress(done, start)
        (folder / HOSTS_NAME).write_bytes(orjson.dumps(dict(sorted(counts.hosts.items()))))
        found = np.bincount(outcome, minlength=len(OUTCOMES)).tolist()
        return counts.to_json() | {"outcomes": dict(zip(OUTCOMES, found, strict=True))}


class PartProfile:
    """Counts of the documents that are in a split.

    pii: kinds that were masked; NOW's own gaps are always counted.
    """

    def __init__(self, pii: Iterable[str] = ()) -> None:
        self.hosts: Counter[str] = Counter()
        self.masked: Counter[str] = Counter()
        self._masks = {kind: text for kind, text in mask_texts().items() if kind in (*pii, "now")}
        self._splits = {split: _SplitProfile() for split in SPLITS}
        # By continent, the train document with the lowest draw.
        self._examples: dict[str, tuple[int, dict[str, Any]]] = {}

    def add(self, batch: pa.RecordBatch, outcome: np.ndarray, draws: np.ndarray) -> int:
        """Count a batch; outcomes uint8 [n], draws uint64 [n]. UTF-8 bytes of all its texts."""
        import pyarrow.compute as pc

        sizes = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False)
        lengths = pc.utf8_length(batch["text"]).to_numpy(zero_copy_only=False)
        for number, split in enumerate(SPLITS):
            at = np.flatnonzero(outcome == number)
            if len(at):
                self._splits[split].add(batch, at, sizes[at], lengths[at])
        inside = outcome < len(SPLITS)
        self.hosts.update(_value_counts(batch["host"].take(pa.array(np.flatnonzero(inside)))))
        for column in ("title", "text"):
            everything = batch[column].buffers()[2] or b""
            for kind, mask in self._masks.items():
                # Most batches have none, and one search through all is quicker than one by row. An
                # expression looks into Arrow's own memory.
                if re.search(re.escape(mask.encode()), everything):
                    found = pc.count_substring(batch[column], mask).to_numpy(zero_copy_only=False)
                    self.masked[kind] += int(found[inside].sum())
        self._find_examples(batch, np.flatnonzero(outcome == 0), draws)
        return int(sizes.sum())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "masked": {kind: number for kind, number in sorted(self.masked.items()) if number},
            "splits": {split: found.to_json() for split, found in self._splits.items()},
            "examples": {
                continent: {"draw": str(draw), **example}
                for continent, (draw, example) in sorted(self._examples.items())
            },
        }

    def _find_examples(self, batch: pa.RecordBatch, train: np.ndarray, draws: np.ndarray) -> None:
        continents = batch["continent"].take(pa.array(train)).to_pylist()
        for continent in set(continents):
            mine = train[[name == continent for name in continents]]
            row = int(mine[np.argmin(draws[mine])])
            draw = int(draws[row])
            if continent not in self._examples or draw < self._examples[continent][0]:
                names = ("host", "country", "continent", "title")
                example = {name: batch[name][row].as_py() for name in names}
                example["beginning"] = batch["text"][row].as_py()[:EXAMPLE_CHARACTERS]
                self._examples[continent] = draw, example


class _SplitProfile:
    def __init__(self) -> None:
        self._documents = 0
        self._text_bytes: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTED.values()}
        self._quality = np.zeros(QUALITY_BINS, np.int64)
        self._lengths = np.zeros(LENGTH_BINS, np.int64)

    def add(
        self, batch: pa.RecordBatch, at: np.ndarray, sizes: np.ndarray, lengths: np.ndarray
    ) -> None:
        rows = pa.array(at)
        self._documents += len(at)
        for column, name in COUNTED.items():
            self._counts[name].update(_value_counts(batch[column].take(rows)))
        countries = batch["country"].take(rows).dictionary_encode()
        sums = np.bincount(countries.indices.to_numpy(), sizes, len(countries.dictionary))
        for country, total in zip(countries.dictionary.to_pylist(), sums, strict=True):
            self._text_bytes[country] += int(total)
        quality = batch["quality"].take(rows).to_numpy(zero_copy_only=False)
        self._quality += np.bincount(np.minimum(quality, 100), minlength=QUALITY_BINS)
        self._lengths += np.bincount(length_bins(lengths), minlength=LENGTH_BINS)

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self._documents,
            "text_bytes": dict(sorted(self._text_bytes.items())),
            **{name: dict(sorted(found.items())) for name, found in self._counts.items()},
            "quality": self._quality.tolist(),
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


def mask_texts() -> dict[str, str]:
    """What stands in a text for what was masked, by kind. NOW itself withholds ten words."""
    from data_prep.clean.masks import EMAIL_MASK, IP_MASK, PHONE_MASK

    return {"email": EMAIL_MASK, "ip": IP_MASK, "phone": PHONE_MASK, "now": " ".join("@" * 10)}


def _value_counts(values: pa.Array) -> dict[str, int]:
    found = values.value_counts()
    names = map(str, found.field("values").to_pylist())
    return dict(zip(names, found.field("counts").to_pylist(), strict=True))
