"""Stages `overlap_index` and `overlap`: which training documents hold an evaluation text.

One index is made of all the texts; then each part is looked up in it.
A document's title and text are looked through. A report has at most REPORT_ROWS pairs of a part;
its counts are of all. What the index takes is in data_prep.overlap.index.
"""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import xxhash

from data_prep.config import Prep
from data_prep.dedup.arrays import load, save
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import all_parts
from data_prep.overlap.grams import ItemGrams, prefix_words
from data_prep.overlap.index import Index, build_index, find_matches
from data_prep.overlap.texts import NO_FIELD, OverlapTexts
from data_prep.overlap.upstream import assigned_keys, block_words, part_of, rows_in
from data_prep.parts import read_part

INDEX_VERSION, MATCH_VERSION = "1", "2"
WHOLE = "all"
REPORT_ROWS = 1000
REPORT = "report.jsonl"


class OverlapIndex(Stage):
    """Joins the texts of all tasks before it into one index.

    Its receipt counts names of the sets; sets.npy (uint16), records.npy and fields.npy tell of each
    text where it is from.
    """

    name = "overlap_index"

    def tasks(self) -> list[Task]:
        tasks = OverlapTexts(self.config).tasks()
        if not tasks:
            return []
        key = task_key(INDEX_VERSION, *(task.key for task in tasks))
        return [Task(WHOLE, key, sum(task.size for task in tasks), {})]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        stage = OverlapTexts(self.config)
        names: list[str] = []
        lengths: set[int] = set()
        arrays: dict[str, list[np.ndarray]] = {
            name: [] for name in ("texts", "grams", "prefixes", "sets", "records", "fields")
        }
        count = 0
        for before, receipt in zip(stage.tasks(), stage.receipts(), strict=True):
            names += [name for name in receipt.counts["sets"] if name not in names]
            number = np.array([names.index(name) for name in receipt.counts["sets"]], np.uint16)
            lengths.update(receipt.counts["lengths"])
            found = {name: load(stage.task_folder(before.id) / f"{name}.npy") for name in arrays}
            found["texts"] = found["texts"] + count
            found["sets"] = number[found["sets"]]
            count += receipt.counts["texts"]
            for name, array in found.items():
                arrays[name].append(array)
        joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
        items = ItemGrams(
            joined["texts"],
            joined["grams"],
            joined["prefixes"],
            np.array(sorted(lengths), np.int64),
        )
        index = build_index(items, count, prefix_words(self.config.overlap.ngram))
        index.save(folder)
        for name in ("sets", "records", "fields"):
            save(folder / f"text_{name}.npy", joined[name])
        checked = np.bincount(joined["sets"][index.totals > 0], minlength=len(names))
        short = np.bincount(joined["sets"][index.totals == 0], minlength=len(names))
        progress(task.size, count)
        return {
            "sets": [
                {"name": name, "texts": int(many), "too_short": int(few)}
                for name, many, few in zip(names, checked, short, strict=True)
            ],
            "grams": len(index.grams),
        }


class OverlapStage(Stage):
    """Finds the training documents that hold a text: hits.npy, bool [n], and report.jsonl.

    contaminated.npy: int64 [k], the texts that some document of the part holds.
    """

    name = "overlap"

    def tasks(self) -> list[Task]:
        before = OverlapIndex(self.config).tasks()
        if not before:
            return []
        base = (MATCH_VERSION, before[0].key, str(self.config.overlap.share))
        keys = assigned_keys(self.config)
        return [
            Task(part.id, task_key(*base, part.key, key), part.text_bytes, {})
            for part, key in zip(all_parts(self.config), keys, strict=True)
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        part = part_of(self.config, task.id)
        index_stage = OverlapIndex(self.config)
        (receipt,) = index_stage.receipts()
        origin = _Origin(index_stage.task_folder(WHOLE), receipt.counts["sets"], self.config)
        index = Index.load(index_stage.task_folder(WHOLE))
        train = rows_in(self.config, part, "train")
        share = self.config.overlap.share
        hit, report = np.zeros(part.documents, bool), []
        contaminated = [np.empty(0, np.int64)]
        documents = np.zeros(len(origin.names), np.int64)
        done = 0
        columns = ["id", "title", "text"]
        for batch in read_part(part.path, columns) if part.documents else ():
            rows = np.flatnonzero(train[done : done + len(batch)])
            for first, words in block_words(_title_and_text(batch, rows)):
                found = find_matches(words, index).of_fraction(share, index.totals)
                row = rows[found.documents + first]
                hit[row + done] = True
                contaminated.append(np.unique(found.texts))
                pairs = np.unique(np.stack([row, origin.sets[found.texts]], axis=1), axis=0)
                documents += np.bincount(pairs[:, 1], minlength=len(origin.names))
                for i in range(min(len(row), REPORT_ROWS - len(report))):
                    text = int(found.texts[i])
                    report.append(
                        origin.row(text)
                        | {
                            "document": batch.column("id")[int(row[i])].as_py(),
                            "share": round(int(found.shared[i]) / int(index.totals[text]), 4),
                        }
                    )
            done += len(batch)
            progress(int(part.text_bytes * done / part.documents), done)
        save(folder / "hits.npy", hit)
        save(folder / "contaminated.npy", np.unique(np.concatenate(contaminated)))
        lines = (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in report)
        (folder / REPORT).write_bytes(b"".join(lines))
        return {
            "hits": int(hit.sum()),
            "digest": xxhash.xxh3_128_hexdigest(hit.tobytes()),
            "documents": documents.tolist(),
        }


class _Origin:
    """Where each text of the index is from."""

    def __init__(self, folder: Path, sets: list[dict[str, Any]], config: Prep):
        self.names = [entry["name"] for entry in sets]
        self.sets = load(folder / "text_sets.npy")
        self._records = load(folder / "text_records.npy")
        self._fields = load(folder / "text_fields.npy")
        self._field_names = config.overlap.fields

    def row(self, text: int) -> dict[str, Any]:
        field = int(self._fields[text])
        return {
            "set": self.names[self.sets[text]],
            "record": int(self._records[text]),
            "field": None if field == NO_FIELD else self._field_names[field],
        }


def _title_and_text(batch, rows: np.ndarray):
    import pyarrow as pa
    import pyarrow.compute as pc

    some = batch.take(pa.array(rows))
    large = [some.column(name).cast(pa.large_string()) for name in ("title", "text")]
    return pc.binary_join_element_wise(*large, pa.scalar("\n", pa.large_string()))
