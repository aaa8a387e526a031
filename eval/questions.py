"""Country questions, answered by likelihood: the option that the model finds least surprising.

A question is framed as a document: BOS, metadata, an optional title, "CONTENT:" and the prompt; the
score of an option is the sum of log p over the tokens of " " + option, after the prompt.
"""

import json
import math
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from eval.arms import View
from eval.documents import RecordOf
from eval.perplexity import check_finite, rows_of
from eval.scorers.base import Scorer
from geo_nemo.config import UserError
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.data.rows import build_row
from geo_nemo.metadata.compose import NO_TOKENS, Composed, Composer
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.metadata.tokenizer import Tokenizer

Text = Annotated[str, Field(min_length=1)]


class Question(BaseModel):
    """One line of `questions.jsonl`; keys that are not listed are ignored.

    kind: `local` when the right answer depends on the country, `shared` when it does not.
    host: null where a question has no outlet; then no URL line is shown.
    """

    id: Text
    kind: Literal["local", "shared"]
    country: Text
    continent: Text
    host: str | None = None
    title: str | None = None
    prompt: Text
    options: Annotated[tuple[Text, ...], Field(min_length=2)]
    answer: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _answerable(self):
        if self.answer >= len(self.options):
            raise ValueError("answer is not the number of an option")
        if len(set(self.options)) != len(self.options):
            raise ValueError("an option stands twice")
        return self

    @property
    def record(self) -> MetadataRecord:
        return MetadataRecord(self.host or "", self.country, self.continent)


@dataclass(frozen=True)
class QuestionSet:
    """Questions that can be asked, their options' order, and what was left out and why.

    orders: for each question, the numbers of its options in the order in which they are shown.
    """

    questions: list[Question]
    orders: list[np.ndarray]
    skipped: dict[str, int]


@dataclass(frozen=True)
class Answers:
    """Chosen options, as their numbers in the file, int64 [n].

    by_sum: highest log-likelihood. by_mean: highest log-likelihood per token.
    """

    by_sum: np.ndarray
    by_mean: np.ndarray


def read_questions(path: Path, seed: int) -> QuestionSet:
    """Questions of a JSONL file; a line that is not a question is counted with its reason.

    The order of an item's options depends on the seed and its id alone, not on its place or on the
    order in the file. Raises UserError when the file cannot be read or holds no question.
    """
    questions: list[Question] = []
    seen: set[str] = set()
    skipped: Counter[str] = Counter()
    try:
        with path.open("rb") as lines:
            for line in lines:
                question = _parse(line, seen, skipped) if line.strip() else None
                if question is not None:
                    questions.append(question)
    except OSError as error:
        raise UserError(f"cannot read questions {path}: {error.strerror}") from None
    if not questions:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise UserError(f"{path} holds no question{f' ({reasons})' if reasons else ''}")
    orders = [option_order(question, seed) for question in questions]
    return QuestionSet(questions, orders, dict(skipped))


def _parse(line: bytes, seen: set[str], skipped: Counter[str]) -> Question | None:
    try:
        question = Question.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        reason = first["msg"].removeprefix("Value error, ")
        skipped[f"{where}: {reason}" if where else reason] += 1
        return None
    except (ValueError, RecursionError):
        skipped["not JSON"] += 1
        return None
    if question.id in seen:
        skipped["id stands twice"] += 1
        return None
    seen.add(question.id)
    return question


def option_order(question: Question, seed: int) -> np.ndarray:
    """A random order of the options that the file's order does not influence, int64 [options]."""
    rng = np.random.default_rng([seed, zlib.crc32(question.id.encode())])
    alphabetical = sorted(range(len(question.options)), key=lambda n: question.options[n])
    return np.array(alphabetical)[rng.permutation(len(alphabetical))]


def drop_long(
    asked: QuestionSet, composers: Sequence[Composer], title: str | None, seq_length: int
) -> QuestionSet:
    """Without the questions that would not fit the sequence behind the longest metadata of all.

    The bound does not depend on which record an arm shows, so that arms can be drawn afterwards.
    """
    prefix = max(
        len(composer.prefix_ids(question.record))
        for composer in composers
        for question in asked.questions
    )
    kept = []
    for place, (question, order) in enumerate(zip(asked.questions, asked.orders, strict=True)):
        framed = _framed(question, order, composers[0], None, title)
        if prefix + max(len(item.ids) for item, _ in framed) - 1 <= seq_length:
            kept.append(place)
    skipped = dict(asked.skipped)
    if len(kept) < len(asked.questions):
        skipped["longer than the sequence"] = len(asked.questions) - len(kept)
    return QuestionSet(
        [asked.questions[place] for place in kept], [asked.orders[place] for place in kept], skipped
    )


def answer_questions(
    scorer: Scorer,
    asked: QuestionSet,
    composer: Composer | View,
    record_of: RecordOf,
    title: str | None,
    *,
    row_length: int,
    run: str,
    arm: str,
    progress: Progress = no_progress,
) -> Answers:
    """The option that the model prefers for each question, under one arm of one run.

    record_of: takes the place of a question. row_length: positions of a row. Where options tie
    exactly, the first in the item's random order wins. Raises RunError where a likelihood is not
    finite.
    """
    items: list[tuple[Composed, int]] = []
    owner: list[int] = []
    for place, (question, order) in enumerate(zip(asked.questions, asked.orders, strict=True)):
        framed = _framed(question, order, composer, record_of(place), title)
        items += framed
        owner += [place] * len(framed)
    log_p = np.zeros(len(items))
    lengths = np.array([tokens for _, tokens in items])
    done = 0
    positions = np.array([len(item.ids) - 1 for item, _ in items])
    for places, length in rows_of(scorer, positions, row_length):
        row = build_row(
            [items[place][0] for place in places],
            np.zeros(len(places), dtype=np.int64),
            length,
            composer.tokenizer.pad_id,
            True,
        )
        nll = np.asarray(scorer.nll(row), dtype=np.float64)
        names = [f"question {asked.questions[owner[place]].id}" for place in places]
        check_finite(row, nll, names, run, arm)
        for segment, place in enumerate(places.tolist()):
            end = row.cu_seqlens[segment + 1]
            log_p[place] = -nll[end - lengths[place] : end].sum()
        done += len(places)
        progress(f"{run}, {arm}, questions", done, len(items))
    ends = np.cumsum([len(order) for order in asked.orders])
    return Answers(
        by_sum=_best(log_p, ends, asked.orders),
        by_mean=_best(log_p / lengths, ends, asked.orders),
    )


def _best(scores: np.ndarray, ends: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
    """argmax takes the first of equals, which is the first in the item's random order."""
    parts = np.split(scores, ends[:-1])
    return np.array([order[part.argmax()] for order, part in zip(orders, parts, strict=True)])


def _framed(
    question: Question,
    order: np.ndarray,
    composer: Composer | View,
    record: MetadataRecord | None,
    title: str | None,
) -> list[tuple[Composed, int]]:
    """The document of each option, in the order shown, and the number of the option's tokens."""
    tokenizer: Tokenizer = composer.tokenizer
    heading = question.title or title
    title_ids = tokenizer.encode(f" {heading}\n\n") if heading else NO_TOKENS
    title_ids, prompt = composer.texts(title_ids, tokenizer.encode(f" {question.prompt}"))
    block = composer.prefix_ids(record)
    framed = []
    for number in order:
        option = tokenizer.encode(f" {question.options[number]}")
        # Not final: nothing stands behind the option, so it holds the fragment's last labels.
        composed = composer.join(block, title_ids, np.append(prompt, option), final=False)
        framed.append((composed, len(option)))
    return framed


def chance(questions: Sequence[Question]) -> float:
    """Expected accuracy of a guess."""
    return math.fsum(1 / len(question.options) for question in questions) / len(questions)
