"""Outputs of earlier runs, as `dedup.against` names them: what they hold comes before this run.

A run that still has `work/` gives its fingerprints as they are, where they were made with the same
settings. Otherwise its corpus in Parquet is fingerprinted again. What a run holds are the documents
that its deduplication kept, and the copies and near-duplicates that it dropped for them; not those
that an earlier run yet held, nor those dropped for their id. That a split or a cap left one out
makes no difference: it would be left out again.
"""

from dataclasses import dataclass
from pathlib import Path

import orjson

from data_prep.config import Prep
from data_prep.dedup.layout import DEDUP, FINGERPRINT, WHOLE, comparable, decisions_path
from data_prep.engine.receipt import read_receipt, task_key
from data_prep.engine.stage import WORK
from data_prep.ingest import PARTS_NAME, Ingest
from geo_nemo.common.errors import UserError


@dataclass(frozen=True)
class CorpusFile:
    """A file of an earlier run's corpus. id: of the task that fingerprints it."""

    id: str
    path: Path
    documents: int
    size: int
    version: str


@dataclass(frozen=True)
class WorkPart:
    """A part of an earlier run that has its work.

    folder: of its fingerprints, whose task had the key `prints` when that run ended. decisions:
    file of data_prep.dedup.clusters.
    """

    folder: Path
    documents: int
    key: str
    decisions: Path
    prints: str


@dataclass(frozen=True)
class EarlierRun:
    """Either its parts in `work/`, or files of its corpus."""

    path: Path
    parts: tuple[WorkPart, ...] = ()
    files: tuple[CorpusFile, ...] = ()


def earlier_runs(config: Prep) -> list[EarlierRun]:
    """The runs of `dedup.against`. UserError for one that cannot be compared with."""
    near = config.dedup.near
    seen = {Path(config.output).resolve()}
    runs = []
    for number, name in enumerate(config.dedup.against):
        path = Path(name)
        if path.resolve() in seen:
            raise UserError(f"dedup.against={name} is this run's output, or named twice")
        seen.add(path.resolve())
        if not path.is_dir():
            raise UserError(f"dedup.against={name} is no folder; name the output of an earlier run")
        parts, settings = _work_parts(path)
        if parts is not None and comparable(settings, near):
            runs.append(EarlierRun(path, parts=parts))
            continue
        files = _corpus(path, number)
        if not files:
            why = f"has fingerprints of other settings ({settings})" if parts else "has no work"
            raise UserError(
                f"dedup.against={name} {why} and no corpus in Parquet; prepare it again with "
                f"keep_work=true and the same dedup.near, or with corpus=parquet"
            )
        runs.append(EarlierRun(path, files=files))
    return runs


def check_ended(runs: list[EarlierRun]) -> None:
    """UserError for a run whose fingerprints are no longer those that it ended with.

    Such is one that was stopped behind them; what it decided then is of other documents.
    """
    for run in runs:
        for part in run.parts:
            receipt = read_receipt(part.folder)
            if receipt is None or receipt.key != part.prints:
                raise UserError(
                    f"dedup.against={run.path}: a run into it did not end: run that command again, "
                    "then this one"
                )


def corpus_files(runs: list[EarlierRun]) -> list[CorpusFile]:
    """The corpus files that are to be fingerprinted."""
    return [file for run in runs for file in run.files]


def _work_parts(path: Path) -> tuple[tuple[WorkPart, ...] | None, str]:
    """Parts of a run, None where its work is not whole, and the settings of their fingerprints."""
    work = path / WORK
    decided = read_receipt(work / DEDUP / WHOLE)
    if decided is None:
        return None, ""
    try:
        entries = orjson.loads((work / Ingest.name / PARTS_NAME).read_bytes())
    except (OSError, ValueError):
        return None, ""
    of = decided.counts.get("of")  # older ones do not tell
    if of not in (None, task_key(*(entry["key"] for entry in entries))):
        return None, ""
    parts, settings = [], decided.counts["fingerprints"]
    for entry in entries:
        folder = work / FINGERPRINT / entry["id"]
        digest = decided.counts["decisions"].get(entry["id"])
        if digest is None or not folder.is_dir():
            return None, ""
        decisions = decisions_path(work / DEDUP / WHOLE, entry["id"])
        key, prints = f"{entry['key']} {digest}", task_key(settings, entry["key"])
        parts.append(WorkPart(folder, entry["documents"], key, decisions, prints))
    return tuple(parts), settings


def _corpus(path: Path, number: int) -> tuple[CorpusFile, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = []
    for file in sorted((path / "corpus").rglob("*.parquet")):
        name = "-".join(file.relative_to(path / "corpus").with_suffix("").parts)
        try:
            status = file.stat()
            with pq.ParquetFile(file) as opened:
                documents, names = opened.metadata.num_rows, opened.schema_arrow.names
        except (OSError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"dedup.against: cannot read {file}: {reason}") from None
        absent = [column for column in ("id", "hash", "text", "cluster") if column not in names]
        if absent:
            raise UserError(f"dedup.against: {file} has no column {', '.join(absent)}")
        files.append(
            CorpusFile(
                id=f"earlier-{number:02d}-{name}",
                path=file,
                documents=documents,
                size=status.st_size,
                version=f"{status.st_size} {status.st_mtime_ns}",
            )
        )
    return tuple(files)
