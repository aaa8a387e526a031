"""Texts of evaluation files: JSON Lines (plain, gzip, zstd), CSV or Parquet.

An evaluation set is a small, well-kept file: what cannot be read in it is an error, never passed
over, for it would be missing in the check.
"""

import glob
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.config import Limits
from geo_nemo.common.errors import UserError

MAX_LINE_BYTES = 64 << 20
PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True)
class EvaluationFile:
    """name: of the set, in reports. version: its size and the time of its last change."""

    name: str
    path: Path
    size: int
    version: str


@dataclass(frozen=True)
class EvaluationText:
    """record: its number in the file, from 1. field: number of the field that holds the text."""

    record: int
    field: int
    text: str


def evaluation_files(patterns: tuple[str, ...]) -> list[EvaluationFile]:
    """The files of `overlap.evaluations`. UserError for one that is not there."""
    paths: list[Path] = []
    for pattern in patterns:
        found = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))
        found = [path for path in found if Path(path).is_file()]
        if not found:
            raise UserError(f"overlap.evaluations={pattern}: no such file")
        paths += [Path(path) for path in found]
    for path in paths:
        if paths.count(path) > 1:
            raise UserError(f"overlap.evaluations: {path} is named twice")
    names = [path.name for path in paths]
    files = []
    for path in paths:
        status = path.stat()
        name = path.name if names.count(path.name) == 1 else str(path)
        version = f"{status.st_size} {status.st_mtime_ns}"
        files.append(EvaluationFile(name, path, status.st_size, version))
    return files


def read_texts(path: Path, fields: tuple[str, ...]) -> Iterator[EvaluationText]:
    """The texts of `fields`, in order; of a list of strings each is a text.

    UserError for a file that cannot be read, or in which no record has any of the fields.
    """
    seen: dict[str, None] = {}
    some = False
    for record, values in _records(path, fields):
        for number, field in enumerate(fields):
            value = values.get(field)
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    some = True
                    yield EvaluationText(record, number, unicodedata.normalize("NFC", text))
        seen.update(dict.fromkeys(values))
    if not some:
        raise UserError(
            f"overlap.evaluations: no record of {path} has text in {', '.join(fields)}; it has "
            f"{', '.join(list(seen)[:20]) or 'no record'}: name others in overlap.fields"
        )


def _records(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as file:
            head = file.read(len(PARQUET_MAGIC))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if head == PARQUET_MAGIC:
        yield from _parquet(path)
    elif path.suffix in (".csv", ".tsv"):
        yield from _csv(path, fields)
    else:
        yield from _json_lines(path)


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024, use_threads=False):
                for values in batch.to_pylist():
                    record += 1
                    yield record, values
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _csv(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    from pyarrow import csv

    delimiter = "\t" if path.suffix == ".tsv" else ","
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(use_threads=False),
            csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            # As they stand: 007 is no number.
            csv.ConvertOptions(column_types={name: pa.string() for name in fields}),
        )
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    yield from enumerate(table.to_pylist(), 1)


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    from data_prep.read.jsonl import loads_leniently
    from data_prep.read.lines import split_lines
    from data_prep.read.record import DamagedError
    from data_prep.read.storage import LocalFile
    from data_prep.read.unpack import Unpacked

    source = LocalFile(str(path))
    try:
        blocks = Unpacked(source, Limits()).blocks()
        for number, data, too_long in split_lines(blocks, MAX_LINE_BYTES):
            if not data.strip() and not too_long:
                continue
            try:
                values = None if too_long else loads_leniently(data)
            except DamagedError:
                values = None
            if not isinstance(values, dict):
                raise UserError(f"overlap.evaluations: {path}, line {number} is no JSON object")
            yield number, values
    except DamagedError as damage:
        raise UserError(f"overlap.evaluations: {path}: {damage.args[1]}") from None
    finally:
        source.close()


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"overlap.evaluations: cannot read {path}: {' '.join(str(error).split())[:150]}"
    )
