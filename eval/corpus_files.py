"""The Parquet files of a corpus that are scored: which there are, and that they are as written."""

import hashlib
from pathlib import Path

import pyarrow as pa

from geo_nemo.common.digests import file_digest
from geo_nemo.common.files import read_json
from geo_nemo.config import UserError

SUMMARY = "corpus.json"
TEXTS = ("title", "text")
# Columns that may have several texts of a document.
LISTS = ("date", "language", "topic")


def files_of(path: Path, split: str) -> tuple[list[Path], str]:
    """The files of a split, and 16 hex digits that change whenever they do.

    Raises `UserError` where there is none, and where prep's are not as it wrote them.
    """
    if (path / SUMMARY).is_file():
        summary = read_json(path / SUMMARY, "run geo-nemo prep again")
        if summary.get("format") != "parquet":
            raise UserError(
                f"corpus={path} is of format {summary.get('format')}: prepare it with "
                "corpus=parquet"
            )
        try:
            written = {n: e["xxh3_128"] for n, e in summary["files"].items() if e["split"] == split}
        except (KeyError, TypeError, AttributeError):
            raise UserError(f"{path / SUMMARY} is damaged: run geo-nemo prep again") from None
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
    """Raise `UserError` where a column that has text here, or a number, has something else."""
    for name in schema.names:
        if schema.names.count(name) > 1:
            raise UserError(f"{file} has two columns {name}: give each a name of its own")
        found = schema.field(name).type
        found = found.value_type if pa.types.is_dictionary(found) else found
        if name in LISTS and (pa.types.is_list(found) or pa.types.is_large_list(found)):
            found = found.value_type
        texts = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
        kinds = dict.fromkeys(("year", "quality"), ("whole numbers", (pa.types.is_integer,)))
        kinds |= dict.fromkeys(
            (*TEXTS, *LISTS, "host", "country", "continent", "path", "url", "source"),
            ("text", texts),
        )
        what, fits = kinds.get(name, ("", ()))
        if what and not any(fit(found) for fit in (*fits, pa.types.is_null)):
            raise UserError(f"{file}: column {name} is {found}, and should be {what}")


def _check_unchanged(file: Path, expected: str) -> None:
    """Raise `UserError` where a file is not what was written, by which finished cells are known."""
    try:
        found = file_digest(file)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; run geo-nemo prep again") from None
    if found != expected:
        raise UserError(
            f"{file} was changed since geo-nemo prep wrote it: run geo-nemo prep again, or copy it "
            "to a folder of its own, which is read as any Parquet"
        )


def _instead(path: Path) -> str:
    inside = path / "corpus"
    whole = (inside / SUMMARY).is_file()
    return str(inside) if whole else "the corpus of geo-nemo prep, or Parquet files"
