"""Questions of a file's rows, the order of their options, and which are kept for choices.

A row that is no question is left out and counted with its reason. The order of an item's options
depends on the seed and its id alone. A fraction of the questions may be kept for choices, as of the
scoring rule: which ones follows from their ids.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from eval.question_rows import rows_of
from eval.question_schemas import Question, question_of
from geo_nemo.config import UserError


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
        """Number of the first question that asks the same, int64 [n].

        That is one of the same unit; without units, of the same prompt, place and options.
        """
        first: dict[tuple | str, int] = {}
        return np.array([
            first.setdefault(q.unit or (q.prompt, q.country, q.host, frozenset(q.options)), place)
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


def kept_for_choices(asked: QuestionSet, fraction: float, seed: int) -> frozenset[str]:
    """Ids of the questions that choices are made on; one that stands again goes with the first, so
    that no reported question is one of them."""
    return frozenset(
        question.id
        for question, first in zip(asked.questions, asked.repeats.tolist(), strict=True)
        if for_choices(asked.questions[first], fraction, seed)
    )


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
