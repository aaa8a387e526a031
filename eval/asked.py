"""The questions of an evaluation: read, put into form, checked, and shared out for choices."""

import zlib
from dataclasses import dataclass, replace

import numpy as np

from eval.config import CONTRAST, EvalConfig
from eval.question_files import QuestionSet, kept_for_choices
from eval.question_tasks import task_questions
from eval.questions import Form, drop_long
from eval.shown import Shown, to_questions
from geo_nemo.config import UserError
from geo_nemo.metadata.compose import Composer


@dataclass(frozen=True)
class Asked:
    """questions, shown: None where there are none. for_choices: bool [questions], those that are
    never reported.
    """

    questions: QuestionSet | None
    shown: Shown | None
    form: Form
    for_choices: np.ndarray


def ask(config: EvalConfig, composers: list[Composer], seq_length: int) -> Asked:
    """The questions of an evaluation; none where it has none. Raises `UserError`."""
    form = Form(
        config.questions_template, config.questions_answers == "letters", config.questions_title
    )
    if not config.asks:
        return Asked(None, None, form, np.zeros(0, bool))
    path = config.questions or f"the task {config.questions_task}"
    asked = task_questions(config)
    kept = kept_for_choices(asked, config.questions_dev, config.seed)
    if config.questions_shots:
        form = _with_shots(form, asked, kept, config)
    asked = drop_long(asked, composers, form, seq_length, config.question_conditions)
    if not asked.questions:
        raise UserError(f"no question of {path} fits in {seq_length} tokens with its metadata")
    asked = _drawn(asked, kept, config)
    choices = np.array([question.id in kept for question in asked.questions], bool)
    if choices.all():
        raise UserError(
            f"questions_dev={config.questions_dev} keeps all {len(choices)} questions of {path} "
            "for choices, and none is left to report: give a smaller fraction"
        )
    if CONTRAST in config.conditions and not any(q.contrast_record for q in asked.questions):
        raise UserError(
            f"condition {CONTRAST}: no question of {path} has the answer of another country among "
            "its "
            "options: leave it out of conditions="
        )
    return Asked(asked, to_questions(asked, config, composers), form, choices)


def _drawn(asked: QuestionSet, kept: frozenset[str], config: EvalConfig) -> QuestionSet:
    """With as many of those that are reported as are asked for; their ids and the seed decide."""
    reported = [n for n, question in enumerate(asked.questions) if question.id not in kept]
    if config.num_questions is None or len(reported) <= config.num_questions:
        return asked

    def rank(place: int) -> int:
        return zlib.crc32(f"{config.seed} drawn {asked.questions[place].id}".encode())

    left_out = set(sorted(reported, key=rank)[config.num_questions :])
    places = [place for place in range(len(asked.questions)) if place not in left_out]
    return QuestionSet(
        [asked.questions[p] for p in places], [asked.orders[p] for p in places], asked.skipped
    )


def _with_shots(form: Form, asked: QuestionSet, kept: frozenset[str], config: EvalConfig) -> Form:
    """With solved questions of those kept for choices, in the order of their hashes."""
    pairs = [
        (asked.questions[n], asked.orders[n])
        for n in np.unique(asked.repeats)
        if asked.questions[n].id in kept
    ]
    pairs.sort(key=lambda pair: zlib.crc32(f"{config.seed} shot {pair[0].id}".encode()))
    if len(pairs) < config.questions_shots:
        raise UserError(
            f"questions_shots={config.questions_shots}, and questions_dev={config.questions_dev} "
            f"keeps {len(pairs)} questions for them: give a larger fraction, or fewer shots"
        )
    shots = pairs[: config.questions_shots]
    return replace(form, shots=[q for q, _ in shots], shot_orders=[order for _, order in shots])
