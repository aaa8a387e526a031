"""The stage `corpus`: each part's documents by split, then all of them in `<output>/corpus/`.

In memory: a row group of the part, and one of each split that is being filled.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_prep.corpus_out.parquet_out import ParquetOut
from data_prep.corpus_out.publish import publish, withdraw
from data_prep.corpus_out.summary import SUMMARY_NAME, CorpusFile, CorpusSummary
from data_prep.corpus_out.webdataset_out import WebDatasetOut
from data_prep.engine import Receipt, Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.extra_fields import summed_fields
from data_prep.final import final_keys, final_outcomes
from data_prep.ingest import Ingest, all_parts
from data_prep.parts import NAMES, read_part
from geo_nemo.common.digests import file_digest
from geo_nemo.common.files import write_synced
from geo_nemo.store.field_column import SEVERAL
from geo_nemo.store.manifest import NO_QUALITY, SPLITS

CORPUS_VERSION = "1"
FOLDER = "corpus"
_OUT = {"parquet": ParquetOut, "webdataset": WebDatasetOut}


class CorpusStage(Stage):
    """Writes the annotated corpus; nothing where config.corpus is none."""

    name = "corpus"

    def tasks(self) -> list[Task]:
        if self.config.corpus == "none":
            return []
        base = (CORPUS_VERSION, self.config.corpus, *map(str, self._fields()))
        return [
            Task(part.id, task_key(*base, part.key, key), part.text_bytes, {})
            for part, key in zip(all_parts(self.config), final_keys(self.config), strict=True)
        ]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        from data_prep.dedup import decisions

        part = next(part for part in all_parts(self.config) if part.id == task.id)
        outcome = final_outcomes(self.config, part)
        cluster = decisions(self.config, part).cluster
        fields = self._fields()
        writer = PartSplits(folder, part.id, self.config.corpus, fields)
        start = done = 0
        for batch in read_part(part.path, [*NAMES, *(field.name for field in fields)]):
            rows = slice(start, start + len(batch))
            done += writer.add(_with_lists(batch, fields), outcome[rows], cluster[rows], start)
            start += len(batch)
            progress(done, start)
        return {"files": {name: file.model_dump() for name, file in writer.close().items()}}

    def _fields(self) -> list[pa.Field]:
        """Columns of the user's own: text, or lists where a document has several values."""
        if not self.config.kinds:
            return []
        found = summed_fields(receipt.counts for receipt in Ingest(self.config).receipts())
        return [
            pa.field(name, pa.list_(pa.string()) if found[name]["several"] else pa.string())
            for name in self.config.kinds
        ]

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        """Publish the files of all tasks with their summary, or take back an earlier corpus."""
        target = Path(self.config.output) / FOLDER
        if not tasks:
            withdraw(target)
            return
        files, places = {}, {}
        for split in SPLITS:
            for task, receipt in zip(tasks, receipts, strict=True):
                for name, entry in receipt.counts["files"].items():
                    if entry["split"] == split:
                        files[name] = CorpusFile(**entry)
                        places[name] = self.task_folder(task.id) / name
        summary = CorpusSummary(format=self.config.corpus, files=files)
        content = summary.model_dump_json(indent=1).encode() + b"\n"
        publish(
            target,
            task_key(*(task.key for task in tasks)),
            places,
            lambda folder: write_synced(folder / SUMMARY_NAME, content),
        )


def _with_lists(batch: pa.RecordBatch, fields: list[pa.Field]) -> pa.RecordBatch:
    """The batch with fields of several values as lists."""
    import pyarrow.compute as pc

    for field in fields:
        if pa.types.is_list(field.type):
            place = batch.schema.get_field_index(field.name)
            values = pc.split_pattern(batch.column(place), SEVERAL).cast(field.type)
            batch = batch.set_column(place, field, values)
    return batch


class PartSplits:
    """The files of one part, `<split>-<part>.<suffix>`, for the splits that have documents."""

    def __init__(self, folder: Path, part_id: str, format: str, fields: Sequence[pa.Field] = ()):
        self._fields = fields
        self._folder = folder
        self._part_id = part_id
        self._type = _OUT[format]
        self._out: dict[str, ParquetOut | WebDatasetOut] = {}
        self._documents = dict.fromkeys(SPLITS, 0)
        self._text_bytes = dict.fromkeys(SPLITS, 0)

    def add(
        self, batch: pa.RecordBatch, outcome: np.ndarray, cluster: np.ndarray, start: int
    ) -> int:
        """Write a batch's documents; outcomes uint8 [n], clusters uint64 [n], its first row.

        Returns UTF-8 bytes of all its texts.
        """
        import pyarrow.compute as pc

        place = batch.schema.get_field_index("quality")
        known = pc.not_equal(batch["quality"], pa.scalar(NO_QUALITY, pa.uint8()))
        if not pc.all(known).as_py():
            values = pc.if_else(known, batch["quality"], pa.scalar(None, pa.uint8()))
            batch = batch.set_column(place, batch.schema.field(place), values)
        lengths = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False)
        for number, split in enumerate(SPLITS):
            at = np.flatnonzero(outcome == number)
            if not len(at):
                continue
            if split not in self._out:
                self._out[split] = self._type(self._path(split), self._part_id, self._fields)
            self._out[split].write(batch.take(pa.array(at)), cluster[at], start + at)
            self._documents[split] += len(at)
            self._text_bytes[split] += int(lengths[at].sum())
        return int(lengths.sum())

    def close(self) -> dict[str, CorpusFile]:
        """Finish the files; what each holds, by name."""
        files = {}
        for split, out in self._out.items():
            out.close()
            path = self._path(split)
            files[path.name] = CorpusFile(
                split=split,
                documents=self._documents[split],
                bytes=path.stat().st_size,
                text_bytes=self._text_bytes[split],
                xxh3_128=file_digest(path),
            )
        return dict(sorted(files.items()))

    def _path(self, split: str) -> Path:
        return self._folder / f"{split}-{self._part_id}.{self._type.suffix}"
