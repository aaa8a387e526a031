"""The Parquet files of a corpus that are scored: which there are, and that they are as written."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from geo_nemo.common.digests import file_digest
from geo_nemo.common.files import read_json
from geo_nemo.config import UserError

SUMMARY = "corpus.json"
TEXTS = ("title", "text")
# Columns that every evaluation of a corpus reads.
_READ = (*TEXTS, "host", "country", "continent", "path", "url", "year")
# Those that only a field reads; of the first ones a document may have several texts.
_LISTS = ("date", "language", "topic")
_OF_FIELDS = (*_LISTS, "source", "quality")
_NUMBERS = ("year", "quality")


def files_of(path: Path, split: str) -> tuple[list[Path], str]:
    """The files of a split, and 16 hex digits that change whenever they do.

    Raises `UserError` where there is none, and where prep's are not as it wrote them.
    """
    if (path / SUMMARY).is_file():
        summary = read_json(path / SUMMARY, "repeat geo-nemo prep run")
        if summary.get("format") != "parquet":
            raise UserError(
                f"corpus={path} is of format {summary.get('format')}: prepare it with "
                "corpus=parquet"
            )
        try:
            written = {n: e["xxh3_128"] for n, e in summary["files"].items() if e["split"] == split}
        except (KeyError, TypeError, AttributeError):
            raise UserError(f"{path / SUMMARY} is damaged: repeat geo-nemo prep run") from None
        files = [path / name for name in written]
        for file in files:
            _check_unchanged(file, written[file.name])
        digest = hashlib.sha256(repr(sorted(written.items())).encode())
    else:
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] * path.is_file()
        digest = hashlib.sha256()
        for file in files:
            stat = file.stat()
            digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    if not files:
        what = (
            f"no documents in split {split}" if (path / SUMMARY).is_file() else "no Parquet there"
        )
        raise UserError(f"corpus={path}: {what}; give {_instead(path)}")
    return files, digest.hexdigest()[:16]


def check_types(file: Path, schema: pa.Schema) -> None:
    """Raise `UserError` where a column that is read has text, or a number, and another type here;
    and where a name stands twice."""
    for name in schema.names:
        if schema.names.count(name) > 1:
            raise UserError(f"{file} has two columns {name}: give each a name of its own")
    for said in _of_other_types(file, schema, _READ).values():
        raise UserError(said)


def unfit_columns(file: Path, schema: pa.Schema) -> dict[str, str]:
    """Columns of another type than the field that reads them takes, and what to say of each.

    Another's corpus may have a `date` or a `quality` of its own, for which no model asks.
    """
    return _of_other_types(file, schema, _OF_FIELDS)


def _of_other_types(file: Path, schema: pa.Schema, names: Sequence[str]) -> dict[str, str]:
    texts = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    said = {}
    for name in (each for each in names if each in schema.names):
        found = schema.field(name).type
        found = found.value_type if pa.types.is_dictionary(found) else found
        if name in _LISTS and (pa.types.is_list(found) or pa.types.is_large_list(found)):
            found = found.value_type
        is_number = name in _NUMBERS
        what, fits = ("whole numbers", (pa.types.is_integer,)) if is_number else ("text", texts)
        if not any(fit(found) for fit in (*fits, pa.types.is_null)):
            said[name] = f"{file}: column {name} is {found}, and should be {what}"
    return said


def _check_unchanged(file: Path, expected: str) -> None:
    """Raise `UserError` where a file is not what was written, by which finished cells are known."""
    try:
        found = file_digest(file)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; repeat geo-nemo prep run") from None
    if found != expected:
        raise UserError(
            f"{file} was changed since geo-nemo prep wrote it: repeat geo-nemo prep run, or copy "
            "it to a folder of its own, which is read as any Parquet"
        )


def _instead(path: Path) -> str:
    inside = path / "corpus"
    whole = (inside / SUMMARY).is_file()
    return str(inside) if whole else "the corpus of geo-nemo prep, or Parquet files"
