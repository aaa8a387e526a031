"""The stage `drops`: a sample of what was dropped, by reason, in `<output>/drops/`.

Samples of ingest are those with the lowest hash of their line, those of later stages the rows with
the lowest draw: fair samples, the same in every run whatever the workers. One task; in memory, the
arrays of one part (10 bytes a document of the part) and the samples. At most one row group is read
for each sample.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import xxhash

from data_prep.corpus_out.publish import publish
from data_prep.engine import Receipt, Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import DROPS_NAME, Ingest, PartRef, all_parts
from data_prep.splits import content_draws, final_keys, final_outcomes
from data_prep.splits.outcomes import DROPS, OUTCOMES

DROPS_VERSION = "1"
FOLDER = "drops"
EXCERPT_CHARACTERS = 300
# Drops that are copies of an earlier document, which is named beside them.
COPIES = ("duplicate_id", "duplicate_content", "near_duplicate")
_COLUMNS = ["id", "url", "country", "title", "text"]


@dataclass(frozen=True, order=True)
class Place:
    """A dropped row; ordered by its draw, then by where it stands."""

    draw: int
    part: int
    row: int


class Drops(Stage):
    """Collects the samples."""

    name = "drops"

    def tasks(self) -> list[Task]:
        ingest = Ingest(self.config)
        keys = [receipt.key for receipt in _receipts(ingest)]
        limit = str(self.config.clean.samples_per_reason)
        size = sum(part.documents for part in all_parts(self.config))
        key = task_key(DROPS_VERSION, limit, *keys, *final_keys(self.config))
        return [Task("all", key, size, {})]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        limit = self.config.clean.samples_per_reason
        parts = all_parts(self.config)
        counts = {}
        for reason, lines in _ingest_samples(self.config, limit).items():
            _write(folder, reason, lines)
            counts[reason] = len(lines)
        for reason, places in self._later(parts, limit, progress).items():
            lines = list(self._described(reason, places, parts))
            _write(folder, reason, lines)
            counts[reason] = len(lines)
        return {"samples": dict(sorted(counts.items()))}

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        """Publish the samples."""
        source = self.task_folder(tasks[0].id)
        files = {
            f"{name}.jsonl": source / f"{name}.jsonl" for name in receipts[0].counts["samples"]
        }
        publish(Path(self.config.output) / FOLDER, tasks[0].key, files, lambda folder: None)

    def _later(
        self, parts: list[PartRef], limit: int, progress: TaskProgress
    ) -> dict[str, list[Place]]:
        """Rows to show of each reason, from the outcomes of all parts."""
        found: dict[str, list[Place]] = defaultdict(list)
        for number, part in enumerate(parts):
            outcome = final_outcomes(self.config, part)
            dropped = np.flatnonzero(outcome >= OUTCOMES.index(DROPS[0]))
            draws = content_draws(self.config, part, dropped)
            for reason in DROPS:
                mine = np.flatnonzero(outcome[dropped] == OUTCOMES.index(reason))
                mine = mine[np.argsort(draws[mine], kind="stable")[:limit]]
                places = (Place(int(draws[i]), number, int(dropped[i])) for i in mine)
                found[reason] = heapq.nsmallest(limit, [*found[reason], *places])
            progress(part.start + part.documents, part.start + part.documents)
        return {reason: places for reason, places in found.items() if places}

    def _described(
        self, reason: str, places: list[Place], parts: list[PartRef]
    ) -> Iterator[dict[str, Any]]:
        for place in places:
            part = parts[place.part]
            entry = {"reason": reason} | _document(part, place.row)
            if reason in COPIES:
                leader = _leader(self.config, part, place.row)
                if leader is not None:
                    entry["first"] = _named(parts, leader)
            yield entry


def _leader(config, part: PartRef, row: int) -> int | None:
    from data_prep.dedup import decisions

    leader = int(decisions(config, part).leader[row])
    return leader if leader >= 0 else None


def _named(parts: list[PartRef], number: int) -> dict[str, Any]:
    """The document with this number over all parts."""
    part = next((p for p in parts if p.start <= number < p.start + p.documents), None)
    return {} if part is None else _document(part, number - part.start)


def _document(part: PartRef, row: int) -> dict[str, Any]:
    """What a reader of the sample sees of a row."""
    with pq.ParquetFile(part.path) as file:
        group, start = 0, 0
        while row >= start + file.metadata.row_group(group).num_rows:
            start += file.metadata.row_group(group).num_rows
            group += 1
        table = file.read_row_group(group, columns=_COLUMNS, use_threads=False)
    found = table.slice(row - start, 1).to_pylist()[0]
    text = found.pop("text")
    return found | {"characters": len(text), "excerpt": text[:EXCERPT_CHARACTERS]}


def _ingest_samples(config, limit: int) -> dict[str, list[dict[str, Any]]]:
    """The samples of all tasks of ingest, at most `limit` of a reason."""
    ingest = Ingest(config)
    found: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for task in ingest.tasks():
        path = ingest.task_folder(task.id) / DROPS_NAME
        by_reason: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for line in path.read_bytes().splitlines():
            rank = xxhash.xxh3_64_intdigest(line)
            by_reason[orjson.loads(line)["reason"]].append((rank, line))
        for reason, entries in by_reason.items():
            found[reason] = heapq.nsmallest(limit, [*found[reason], *entries])
    return {
        reason: [orjson.loads(line) for _, line in found[reason]]
        for reason in sorted(found)
        if found[reason]
    }


def _receipts(stage: Stage) -> list[Receipt]:
    return stage.receipts()


def _write(folder: Path, reason: str, lines: list[dict[str, Any]]) -> None:
    content = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    (folder / f"{reason}.jsonl").write_bytes(content)
