"""Country questions, answered by likelihood: the option that the model finds least surprising.

A question is framed as a document: BOS, metadata, an optional title, "CONTENT:" and the prompt; the
score of an option is the sum of log p over the tokens of " " + option, after the prompt.

    by_sum    the sum
    by_mean   by token of the option
    by_byte   by byte of its text: needs no tokenizer
    by_null   less the sum behind the frame alone, without metadata and prompt: what the option is
              worth by itself
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.conditions import View
from eval.config import Condition
from eval.documents import RecordOf
from eval.perplexity import check_finite, sequences_of
from eval.question_files import QuestionSet
from eval.question_schemas import LETTERS, Question
from eval.scorers.base import Scorer, SharedPrefixes
from eval.shown import longest_block
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import RunError
from geo_nemo.data.sequences import build_sequence
from geo_nemo.metadata.compose import NO_TOKENS, Composer
from geo_nemo.metadata.composed import Composed
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.tokenizers.base import Tokenizer

QUESTION = "{question}"


@dataclass(frozen=True)
class Form:
    """How questions are put.

    template: of the prompt, with `{question}`. letters: options are listed before the answer, which
        is a letter. title: of questions without one. shots: questions with their answers before
        each, of those kept for choices; their options in `shot_orders`.
    """

    template: str = QUESTION
    letters: bool = False
    title: str | None = None
    shots: Sequence[Question] = ()
    shot_orders: Sequence[np.ndarray] = ()

    def prompt(self, question: Question, order: np.ndarray) -> str:
        """What stands before the answer."""
        shown = [
            f"{self._one(shot, shot_order)} {self.answers(shot, shot_order)[shot.answer]}\n\n"
            for shot, shot_order in zip(self.shots, self.shot_orders, strict=True)
            if shot.id != question.id
        ]
        return "".join(shown) + self._one(question, order)

    def answers(self, question: Question, order: np.ndarray) -> list[str]:
        """What stands for each option, by its number in the file."""
        if not self.letters:
            return list(question.options)
        letter = {int(number): LETTERS[place] for place, number in enumerate(order)}
        return [letter[number] for number in range(len(question.options))]

    def _one(self, question: Question, order: np.ndarray) -> str:
        asked = question.prompt
        if self.letters:
            lines = [f"{LETTERS[place]}. {question.options[n]}" for place, n in enumerate(order)]
            asked = "\n".join([asked, *lines])
        return self.template.replace(QUESTION, asked)


@dataclass(frozen=True)
class Answers:
    """Chosen options, as their numbers in the file, int64 [n], by each rule; None: not measured.

    log_p: float64 [n, most options], the sum of each option; NaN where there is none.
    """

    by_sum: np.ndarray
    by_mean: np.ndarray
    by_byte: np.ndarray | None = None
    by_null: np.ndarray | None = None
    log_p: np.ndarray | None = None


def drop_long(
    asked: QuestionSet,
    composers: Sequence[Composer],
    form: Form,
    seq_length: int,
    conditions: Sequence[Condition] = (),
) -> QuestionSet:
    """Without the questions that would not fit the sequence behind the longest metadata of all.

    The bound does not depend on whose record a condition shows, so that those can be drawn later.
    """
    records = [question.record for question in asked.questions]
    records += filter(None, (question.contrast_record for question in asked.questions))
    kept = set(range(len(asked.questions)))
    encoded = {c.tokenizer.sha256: c.tokenizer for c in composers}
    ids_of = {key: _encoded(asked, form, each) for key, each in encoded.items()}
    for composer in composers:
        ids = ids_of[composer.tokenizer.sha256]
        prefix = longest_block(composer, records, conditions)
        for place, (question, order) in enumerate(zip(asked.questions, asked.orders, strict=True)):
            framed = _framed(question, order, composer, None, form, ids)
            if prefix + max(len(item.ids) for item, _ in framed) - 1 > seq_length:
                kept.discard(place)
    skipped = dict(asked.skipped)
    if len(kept) < len(asked.questions):
        skipped["longer than the sequence"] = len(asked.questions) - len(kept)
    places = sorted(kept)
    return QuestionSet(
        [asked.questions[place] for place in places], [asked.orders[place] for place in places],
        skipped,
    )  # fmt: skip


def answer_questions(
    scorer: Scorer,
    asked: QuestionSet,
    composer: Composer | View,
    record_of: RecordOf,
    form: Form,
    *,
    packed_length: int,
    run: str,
    condition: str,
    null: bool = False,
    guidance: float | None = None,
    progress: Progress = no_progress,
) -> Answers:
    """The option that the model prefers for each question, under one condition of one run.

    record_of: takes the place of a question. packed_length: of a sequence. null: score options by
    themselves too, for `by_null`. guidance: its strength, where told is compared with not told.
    Where options tie exactly, the first in the item's random order wins. Raises RunError where a
    likelihood is not finite.
    """
    ids = _encoded(asked, form, composer.tokenizer)
    framed = [
        _framed(question, order, composer, record_of(place), form, ids)
        for place, (question, order) in enumerate(zip(asked.questions, asked.orders, strict=True))
    ]
    names = [f"question {question.id}" for question in asked.questions]
    untold = None
    if guidance is not None:
        untold = [
            item
            for question, order in zip(asked.questions, asked.orders, strict=True)
            for item, _ in _framed(question, order, composer, None, form, ids)
        ]
    log_p = scored(
        scorer, composer, framed, names, packed_length, run, condition, progress, untold, guidance
    )
    lengths = np.array([tokens for items in framed for _, tokens in items])
    sizes = np.array([
        len(form.answers(question, order)[n].encode())
        for question, order in zip(asked.questions, asked.orders, strict=True) for n in order
    ])  # fmt: skip
    ends = np.cumsum([len(order) for order in asked.orders])
    alone = None
    if null:
        bare = [
            [(_alone(item, tokens), tokens) for item, tokens in items] for items in framed
        ]  # fmt: skip
        alone = scored(scorer, composer, bare, names, packed_length, run, condition, progress)
    by_file = np.full((len(ends), max(map(len, asked.orders))), np.nan)
    for place, (order, part) in enumerate(
        zip(asked.orders, np.split(log_p, ends[:-1]), strict=True)
    ):
        by_file[place, order] = part
    return Answers(
        by_sum=_best(log_p, ends, asked.orders),
        by_mean=_best(log_p / lengths, ends, asked.orders),
        by_byte=_best(log_p / sizes, ends, asked.orders),
        by_null=None if alone is None else _best(log_p - alone, ends, asked.orders),
        log_p=by_file,
    )


def scored(
    scorer: Scorer,
    composer: Composer | View,
    framed: list[list[tuple[Composed, int]]],
    names: list[str],
    packed_length: int,
    run: str,
    condition: str,
    progress: Progress,
    untold: list[Composed] | None = None,
    guidance: float | None = None,
) -> np.ndarray:
    """log p of the last tokens of each item, those of the option, float64 [items].

    untold: each item without metadata, with which guidance compares.
    """
    items = [item for of in framed for item in of]
    if untold is None and isinstance(scorer, SharedPrefixes):
        progress(f"{run}, {condition}, questions", 0, len(items))
        prefixes, endings = [], []
        for of in framed:
            ids = [item.ids for item, _ in of]
            prefixes.append(ids[0][: len(ids[0]) - of[0][1]])
            endings.append([i[len(i) - tokens :] for i, (_, tokens) in zip(ids, of, strict=True)])
        found = scorer.continuations(prefixes, endings)
        sums = np.array([-nll.sum() for of in found for nll in of])
        bad = np.flatnonzero(~np.isfinite(sums))
        if len(bad):
            owner = np.repeat(np.arange(len(framed)), [len(of) for of in framed])
            raise RunError(
                f"run {run}, condition {condition}, {names[owner[bad[0]]]}: the log-likelihood is "
                f"{sums[bad[0]]}; the model has diverged or overflows in its precision"
            )
        progress(f"{run}, {condition}, questions", len(items), len(items))
        return sums
    owner = [place for place, of in enumerate(framed) for _ in of]
    log_p = np.zeros(len(items))
    done = 0
    positions = np.array([len(item.ids) - 1 for item, _ in items])
    for places, length in sequences_of(scorer, positions, packed_length):
        nowhere, pad = np.zeros(len(places), dtype=np.int64), composer.tokenizer.pad_id
        sequence = build_sequence([items[place][0] for place in places], nowhere, length, pad, True)
        if untold is None:
            found = scorer.nll(sequence)
        else:
            other = build_sequence([untold[place] for place in places], nowhere, length, pad, True)
            found = scorer.guided(sequence, other, guidance)
        nll = np.asarray(found, dtype=np.float64)
        check_finite(sequence, nll, [names[owner[place]] for place in places], run, condition)
        for segment, place in enumerate(places.tolist()):
            end = sequence.cu_seqlens[segment + 1]
            log_p[place] = -nll[end - items[place][1] : end].sum()
        done += len(places)
        progress(f"{run}, {condition}, questions", done, len(items))
    return log_p


def _best(scores: np.ndarray, ends: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
    """argmax takes the first of equals, which is the first in the item's random order."""
    parts = np.split(scores, ends[:-1])
    return np.array([order[part.argmax()] for order, part in zip(orders, parts, strict=True)])


def _alone(item: Composed, tokens: int) -> Composed:
    """The option behind BOS and the label alone."""
    _, _, _, label, body, _, _ = item.parts
    option = body[len(body) - tokens :]
    return Composed(item.first, (NO_TOKENS, NO_TOKENS, NO_TOKENS, label, option, NO_TOKENS,
                                 NO_TOKENS))  # fmt: skip


def _encoded(asked: QuestionSet, form: Form, tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Ids of every text of the questions, tokenised together: one by one takes twice as long."""
    texts: dict[str, None] = {}
    for question, order in zip(asked.questions, asked.orders, strict=True):
        title, prompt, answers = _texts(question, order, form)
        texts |= dict.fromkeys(filter(None, (title, prompt, *answers)))
    return dict(zip(texts, tokenizer.encode_batch(list(texts)), strict=True))


def _texts(question: Question, order: np.ndarray, form: Form) -> tuple[str, str, list[str]]:
    """Title, which is empty where there is none, prompt, and what stands for each option."""
    heading = question.title or form.title
    answers = [f" {answer}" for answer in form.answers(question, order)]
    return f" {heading}\n\n" if heading else "", f" {form.prompt(question, order)}", answers


def _framed(
    question: Question,
    order: np.ndarray,
    composer: Composer | View,
    record: MetadataRecord | None,
    form: Form,
    ids: Mapping[str, list[int]],
) -> list[tuple[Composed, int]]:
    """The document of each option, in the order shown, and the number of the option's tokens.

    ids: `_encoded`, of the composer's tokenizer.
    """
    title, asked, answers = _texts(question, order, form)
    title_ids, prompt = composer.texts(ids[title] if title else NO_TOKENS, ids[asked])
    block = composer.prefix_ids(record)
    framed = []
    for number in order:
        option = ids[answers[number]]
        # Not final: nothing stands behind the option, so it holds the fragment's last labels.
        composed = composer.join(block, title_ids, np.append(prompt, option), final=False)
        framed.append((composed, len(option)))
    return framed


def chance(questions: Sequence[Question]) -> float:
    """Expected accuracy of a guess."""
    return math.fsum(1 / len(question.options) for question in questions) / len(questions)
