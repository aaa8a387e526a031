"""The questions of an evaluation by the task that makes them, ours or another package's."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from eval.config import EvalConfig
from eval.kinds import TASKS
from eval.question_files import QuestionSet, questions_of
from geo_nemo.config import RunError
from geo_nemo.config.plugins import blaming

SETTING = "questions_task"
_END: Any = object()
_MEND = f"mend it, or give another {SETTING}, then run the same command again"


class Task(Protocol):
    """Makes questions.

    Called with the path of `questions`, None where none is given, and the options by name.
    """

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """A dict each question, with the names of `eval.question_schemas.KNOWN` or of the field map
        of the recipe: id, kind, country, prompt, options, answer and so on."""
        ...


def task_questions(config: EvalConfig) -> QuestionSet:
    """The questions that `config` asks for. Raises UserError where there are none, or the task
    cannot be had; RunError where one from outside fails or gives something else."""
    name = config.questions_task
    path = Path(config.questions) if config.questions else None
    task = TASKS.make(name, SETTING, path, options=config.questions_options)
    if name in TASKS.known:
        return questions_of(task.rows(), str(path), config.seed, config.questions_fields)
    where = f"the task {name}" + (f" of {path}" if path else "")
    return questions_of(_checked(task, where), where, config.seed, config.questions_fields)


def _checked(task: Task, where: str) -> Iterator[Mapping[str, Any]]:
    number, rows = 0, None
    while True:
        number += 1
        with blaming(f"{where}, at question {number},", _MEND):
            rows = iter(task.rows()) if rows is None else rows
            row = next(rows, _END)  # None is no end, but a lie of the task
        if row is _END:
            return
        if not isinstance(row, Mapping):
            raise RunError(
                f"{where} gives {type(row).__name__} for question {number}, not a dict; {_MEND}"
            )
        yield row
