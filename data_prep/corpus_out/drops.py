"""The stage `drops`: a sample of what was dropped, by reason, in `<output>/drops/`.

Samples of ingest are those with the lowest hash of their line, those of later stages the rows with
the lowest draw: fair samples, the same in every run whatever the workers. One task; in memory, the
arrays of one part (10 bytes a document of the part), a row group and the samples. Each row group
that holds a sample, or the first of a copy, is read once.
"""

import heapq
from collections import defaultdict
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
from data_prep.final import content_draws, final_keys, final_outcomes
from data_prep.ingest import DROPS_NAME, Ingest, PartRef, all_parts
from data_prep.splits.outcomes import DROPS, OUTCOMES
from geo_nemo.store.field_column import SEVERAL

DROPS_VERSION = "1"
FOLDER = "drops"
EXCERPT_CHARACTERS = 300
# Drops that are copies of an earlier document, which is named beside them.
COPIES = ("duplicate_id", "duplicate_content", "near_duplicate")
_COLUMNS = ["id", "url", "country", "title", "text"]
# What a sample has of its own: a field of the user's own that is called so is shown as own_<name>.
_OURS = ("reason", "first", "excerpt")


@dataclass(frozen=True, order=True)
class Dropped:
    """A dropped document, by its number over all parts; ordered by its draw.

    first: number of the document that it is a copy of; None where there is none in this run.
    """

    draw: int
    number: int
    first: int | None


class Drops(Stage):
    """Collects the samples."""

    name = "drops"

    def tasks(self) -> list[Task]:
        ingest = Ingest(self.config)
        keys = [receipt.key for receipt in ingest.receipts()]
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
        later = self._later(parts, limit, progress)
        numbers = {n for found in later.values() for d in found for n in (d.number, d.first)}
        documents = read_documents(parts, sorted(numbers - {None}), tuple(self.config.kinds))
        for reason, found in later.items():
            lines = [_described(reason, dropped, documents) for dropped in found]
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
    ) -> dict[str, list[Dropped]]:
        """Documents to show of each reason, from the outcomes of all parts."""
        from data_prep.dedup import decisions

        found: dict[str, list[Dropped]] = defaultdict(list)
        for part in parts:
            outcome = final_outcomes(self.config, part)
            dropped = np.flatnonzero(outcome >= OUTCOMES.index(DROPS[0]))
            draws = content_draws(self.config, part, dropped)
            leader = decisions(self.config, part).leader[dropped]
            for reason in DROPS:
                mine = np.flatnonzero(outcome[dropped] == OUTCOMES.index(reason))
                mine = mine[np.argsort(draws[mine], kind="stable")[:limit]]
                copies = reason in COPIES
                new = (
                    Dropped(
                        int(draws[i]),
                        part.start + int(dropped[i]),
                        int(leader[i]) if copies and leader[i] >= 0 else None,
                    )
                    for i in mine
                )
                found[reason] = heapq.nsmallest(limit, [*found[reason], *new])
            progress(part.start + part.documents, part.start + part.documents)
        return {reason: kept for reason, kept in found.items() if kept}


def read_documents(
    parts: list[PartRef], numbers: list[int], fields: tuple[str, ...] = ()
) -> dict[int, dict[str, Any]]:
    """What a reader of the samples sees of documents, by number; `numbers` ascend.

    fields: of the user's own; a document shows those that it has.
    """
    found, columns = {}, [*_COLUMNS, *fields]
    for part in parts:
        mine = [n - part.start for n in numbers if part.start <= n < part.start + part.documents]
        if not mine:
            continue
        with pq.ParquetFile(part.path) as file:
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                rows = [row - start for row in mine if start <= row < stop]
                if rows:
                    table = file.read_row_group(group, columns=columns, use_threads=False)
                    for row, document in zip(rows, table.take(rows).to_pylist(), strict=True):
                        text = document.pop("text")
                        own = {name: document.pop(name) for name in fields}
                        document |= {
                            _shown(n): in_lists(v) for n, v in own.items() if v is not None
                        }
                        document |= {"characters": len(text), "excerpt": text[:EXCERPT_CHARACTERS]}
                        found[part.start + start + row] = document
                start = stop
    return found


def _shown(name: str) -> str:
    return f"own_{name}" if name in _OURS else name


def in_lists(value: str) -> str | list[str]:
    """Several values of a document, which stand together in a part, as a list."""
    return value.split(SEVERAL) if SEVERAL in value else value


def _described(
    reason: str, dropped: Dropped, documents: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    entry = {"reason": reason, **documents[dropped.number]}
    return entry if dropped.first is None else entry | {"first": documents[dropped.first]}


def _ingest_samples(config, limit: int) -> dict[str, list[dict[str, Any]]]:
    """The samples of all tasks of ingest, at most `limit` of a reason."""
    found: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for done in Ingest(config).done():
        path = done / DROPS_NAME
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


def _write(folder: Path, reason: str, lines: list[dict[str, Any]]) -> None:
    content = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    (folder / f"{reason}.jsonl").write_bytes(content)
