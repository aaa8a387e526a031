"""Stage `overlap_texts`: the n-grams of evaluation texts.

A task for each evaluation file and, with `held_out`, for the test and validation documents of each
part. In memory: a row group's texts, and 60 bytes an n-gram of one file or part.
"""

from pathlib import Path
from typing import Any

import numpy as np

from data_prep.dedup.arrays import save
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import PartRef, all_parts
from data_prep.overlap.evaluations import evaluation_files, read_texts
from data_prep.overlap.grams import GRAMS_VERSION, item_grams
from data_prep.overlap.upstream import assigned_keys, block_words, part_of, rows_in
from data_prep.parts import read_part

TEXTS_VERSION = "2"
HELD_OUT = ("validation", "test")
NO_FIELD = 0xFFFF
_BATCH_TEXTS = 4096


class OverlapTexts(Stage):
    """Puts down what tells the texts.

    texts.npy, grams.npy, prefixes.npy: int64, uint64 and uint64 [m], as in ItemGrams. Of each text:
    sets.npy uint8 [n], into the names that the receipt counts; records.npy int64 [n], numbers of
    records or documents; fields.npy uint16 [n]. Texts that are too short have no n-gram.
    """

    name = "overlap_texts"

    def tasks(self) -> list[Task]:
        settings = self.config.overlap
        base = (TEXTS_VERSION, GRAMS_VERSION, str(settings.ngram))
        tasks = []
        for number, file in enumerate(evaluation_files(settings.evaluations)):
            # A set is called otherwise where another file has its name.
            called = [file.name] if file.name != file.path.name else []
            fields = ",".join(settings.fields)
            key = task_key(*base, str(file.path), file.version, fields, *called)
            payload = {"file": str(file.path), "set": file.name}
            tasks.append(Task(f"evaluation-{number:05d}", key, file.size, payload))
        if settings.held_out:
            for part, key in zip(all_parts(self.config), assigned_keys(self.config), strict=True):
                tasks.append(Task(part.id, task_key(*base, part.key, key), part.text_bytes, {}))
        return tasks

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        texts = _Texts(self.config.overlap.ngram)
        if "file" in task.payload:
            names = [task.payload["set"]]
            self._read_file(Path(task.payload["file"]), texts)
        else:
            names = list(HELD_OUT)
            self._read_part(part_of(self.config, task.id), texts, progress)
        texts.write(folder)
        progress(task.size, texts.count)
        return {"sets": names, "texts": texts.count, "lengths": sorted(texts.lengths)}

    def _read_file(self, path: Path, texts: "_Texts") -> None:
        import pyarrow as pa

        held = []
        for text in read_texts(path, self.config.overlap.fields):
            held.append(text)
            if len(held) == _BATCH_TEXTS:
                texts.add(pa.array([t.text for t in held]), 0, [t.record for t in held],
                          [t.field for t in held])  # fmt: skip
                held = []
        if held:
            texts.add(pa.array([t.text for t in held]), 0, [t.record for t in held],
                      [t.field for t in held])  # fmt: skip

    def _read_part(self, part: PartRef, texts: "_Texts", progress: TaskProgress) -> None:
        import pyarrow as pa

        held_out = [rows_in(self.config, part, split) for split in HELD_OUT]
        done = 0
        for batch in read_part(part.path, ["text"]) if part.documents else ():
            for number, chosen in enumerate(held_out):
                rows = np.flatnonzero(chosen[done : done + len(batch)])
                texts.add(batch.column("text").take(pa.array(rows)), number,
                          rows + part.start + done, np.full(len(rows), NO_FIELD))  # fmt: skip
            done += len(batch)
            progress(int(part.text_bytes * done / part.documents), done)


class _Texts:
    """Gathers the n-grams of texts."""

    def __init__(self, ngram: int):
        self.count = 0
        self.lengths: set[int] = set()
        self._ngram = ngram
        self._gathered: dict[str, list[np.ndarray]] = {
            "texts": [np.empty(0, np.int64)],
            "grams": [np.empty(0, np.uint64)],
            "prefixes": [np.empty(0, np.uint64)],
            "sets": [np.empty(0, np.uint8)],
            "records": [np.empty(0, np.int64)],
            "fields": [np.empty(0, np.uint16)],
        }

    def add(self, strings, number: int, records, fields) -> None:
        """A pyarrow array of texts of set `number`, their records and fields."""
        keep = self._gathered
        for first, words in block_words(strings):
            items = item_grams(words, self._ngram)
            keep["texts"].append(items.texts + self.count + first)
            keep["grams"].append(items.grams)
            keep["prefixes"].append(items.prefixes)
            self.lengths.update(items.lengths.tolist())
        keep["sets"].append(np.full(len(strings), number, np.uint8))
        keep["records"].append(np.asarray(records, np.int64))
        keep["fields"].append(np.asarray(fields, np.uint16))
        self.count += len(strings)

    def write(self, folder: Path) -> None:
        for name, arrays in self._gathered.items():
            save(folder / f"{name}.npy", np.concatenate(arrays))
