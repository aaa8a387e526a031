"""Reads files of questions: JSON Lines, Parquet, CSV and TSV.

A row that is no question is left out and counted with its reason. The order of an item's options
depends on the seed and its id alone. A fraction of the questions may be kept for choices, as of the
scoring rule: which ones follows from their ids.
"""

import csv
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from eval.question_schemas import Question, question_of
from geo_nemo.config import UserError

PARQUET_MAGIC, GZIP_MAGIC = b"PAR1", b"\x1f\x8b"


@dataclass(frozen=True)
class QuestionSet:
    """Questions that can be asked, their options' order, and what was left out and why.

    orders: for each question, the numbers of its options in the order in which they are shown.
    """

    questions: list[Question]
    orders: list[np.ndarray]
    skipped: dict[str, int]

    @property
    def repeats(self) -> np.ndarray:
        """Number of the first question with the same prompt, place and options, int64 [n]."""
        first: dict[tuple, int] = {}
        return np.array([
            first.setdefault((q.prompt, q.country, q.host, frozenset(q.options)), place)
            for place, q in enumerate(self.questions)
        ])  # fmt: skip


class QuestionFile:
    """The task whose questions are the rows of a file."""

    def __init__(self, path: Path):
        self._path = path

    def rows(self) -> Iterator[Any]:
        return rows_of(self._path)


def read_questions(path: Path, seed: int, names: Mapping[str, Any] | None = None) -> QuestionSet:
    """Questions of a file; errors as `questions_of`, and where it cannot be read."""
    return questions_of(QuestionFile(path).rows(), str(path), seed, names)


def questions_of(
    rows: Iterable[Any], where: str, seed: int, names: Mapping[str, Any] | None = None
) -> QuestionSet:
    """Questions of rows; one that is not a question is counted with its reason.

    where: the rows are from, for messages. names: the field map of `question_of`. Raises UserError
    where there is no question.
    """
    questions: list[Question] = []
    ids: set[str] = set()
    skipped: Counter[str] = Counter()
    for place, row in enumerate(rows):
        try:
            if not isinstance(row, Mapping):
                raise ValueError(row if isinstance(row, str) else "not an object")
            question = question_of(row, names or {}, place)
        except ValidationError as error:
            skipped[_reason(error)] += 1
            continue
        except (ValueError, TypeError) as error:
            skipped[str(error)] += 1
            continue
        if question.id in ids:
            skipped["id stands twice"] += 1
            continue
        ids.add(question.id)
        questions.append(question)
    if not questions:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise UserError(f"{where} holds no question{f' ({reasons})' if reasons else ''}")
    orders = [option_order(question, seed) for question in questions]
    return QuestionSet(questions, orders, dict(skipped))


def option_order(question: Question, seed: int) -> np.ndarray:
    """A random order of the options that the file's order does not influence, int64 [options]."""
    rng = np.random.default_rng([seed, zlib.crc32(question.id.encode())])
    alphabetical = sorted(range(len(question.options)), key=lambda n: question.options[n])
    return np.array(alphabetical)[rng.permutation(len(alphabetical))]


def for_choices(question: Question, fraction: float, seed: int) -> bool:
    """Whether a question belongs to those that choices are made on; its id and the seed decide."""
    drawn = zlib.crc32(f"{seed} for choices {question.id}".encode()) / 2**32
    return drawn < fraction


# What a field of `Question` refuses, by pydantic's name of it.
_REASONS = {
    "too_short": "fewer than two options",
    "too_long": "more than 26 options",
    "string_pattern_mismatch": "kind is no name of letters, digits, spaces, _ and -",
}


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    if first["type"] == "string_too_short":
        return f"{'an option' if where == 'options' else where} is empty"
    reason = first["msg"].removeprefix("Value error, ")
    return _REASONS.get(first["type"], f"{where}: {reason}" if where else reason)


def rows_of(path: Path) -> Iterator[Any]:
    """Rows of a file by its ending; of JSON Lines a text where a line is not JSON."""
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
    elif path.suffix in (".csv", ".tsv"):
        yield from _delimited(path, "\t" if path.suffix == ".tsv" else ",")
    else:
        yield from _json_lines(path)


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"cannot read questions {path}: {reason}") from None


def _delimited(path: Path, delimiter: str) -> Iterator[Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines, delimiter=delimiter):
                yield {name: value for name, value in row.items() if name is not None}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"questions {path} is no CSV in UTF-8: {error}") from None


def _json_lines(path: Path) -> Iterator[Any]:
    try:
        with path.open("rb") as lines:
            for line in lines:
                if not line.strip():
                    continue
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    yield "not JSON"
    except OSError as error:
        raise UserError(f"cannot read questions {path}: {error.strerror}") from None
