"""Rows of files of questions: JSON Lines or a list of JSON, Parquet, CSV and TSV."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError

PARQUET_MAGIC, GZIP_MAGIC = b"PAR1", b"\x1f\x8b"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# What parts the columns of a table where a header is one name by what its ending says.
OTHER_DELIMITERS = ";\t|,"
UNREAD = object()


def rows_of(path: Path) -> Iterator[Any]:
    """Rows of a file by its ending; a text where one is none: why not. Raises `UserError`."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UserError(f"cannot read questions {path}: {error.strerror}") from None
    is_parquet = start == PARQUET_MAGIC
    if path.suffix == ".parquet" or is_parquet:
        if not is_parquet:
            raise UserError(f"questions {path} is no Parquet file, whatever its name says")
        if path.suffix != ".parquet":
            raise UserError(f"questions {path} is a Parquet file: name it so, as .parquet")
        yield from _parquet(path)
    elif start[:2] == GZIP_MAGIC:
        raise UserError(f"questions {path} is compressed: unpack it with gunzip first")
    elif start[:2] in UTF16_MARKS:
        raise UserError(f"questions {path} is in UTF-16: save it in UTF-8")
    elif path.suffix in (".csv", ".tsv"):
        yield from _delimited(path, "\t" if path.suffix == ".tsv" else ",")
    else:
        yield from _json(path)


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"cannot read questions {path}: {reason}") from None


def _delimited(path: Path, usual: str) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            header = lines.readline()
            delimiter = usual
            if len(_columns(header, usual)) < 2:
                delimiter = max(OTHER_DELIMITERS, key=lambda sign: len(_columns(header, sign)))
            lines.seek(0)
            for row in csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True):
                yield {name: value for name, value in row.items() if name is not None}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"questions {path} is no CSV in UTF-8: {error}") from None


def _columns(header: str, delimiter: str) -> list[str]:
    return next(csv.reader([header], delimiter=delimiter), [])


def _json(path: Path) -> Iterator[Any]:
    """Rows of a list of JSON, or of an object a line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read questions {path}: {error.strerror}") from None
    lines = [line for line in content.splitlines() if line.strip()]
    rows = [_parsed(line) for line in lines]
    if rows[:1] == [UNREAD] or (len(rows) == 1 and isinstance(rows[0], list)):
        whole = _parsed(content)
        if isinstance(whole, list):
            rows = whole
        elif whole is not UNREAD:
            raise UserError(
                f"questions {path} is one object of JSON over several lines: give its list of "
                "questions, or an object a line"
            )
    for row in rows:
        if not isinstance(row, Mapping):
            row = "not JSON" if row is UNREAD else "not an object"
        yield row


def _parsed(text: bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return UNREAD
