"""What a stage of the preparation is: a list of independent tasks, each with a folder of its own.

A stage is made anew from the config in every process that runs one of its tasks, so that the same
code runs in this process, in a worker beside it and on another node.
"""

import gc
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from data_prep.config import Prep
from data_prep.engine.receipt import Receipt, build_task_folder, read_receipt
from geo_nemo.common.errors import RunError

WORK = "work"
# New objects before the interpreter looks for cycles among them; its own number is 700.
COLLECT_AFTER = 100_000


@dataclass(frozen=True)
class Task:
    """One piece of a stage's work.

    id: unique in its stage, and a file name.
    key: changes with everything that the result depends on; a receipt with it makes a task done.
    size: bytes of its input, for progress and estimates.
    payload: what the task needs to know beyond the config; plain JSON.
    """

    id: str
    key: str
    size: int
    payload: dict[str, Any]


class StageFailed(RunError):
    """Tasks ended without a receipt; what others finished is kept."""


class TaskProgress(Protocol):
    """How a task tells how far it is: bytes of its `size` done, and documents so far."""

    def __call__(self, done: int, documents: int) -> None: ...


class Stage(ABC):
    """A stage. `tasks` may read receipts of the stages before it, which are done by then."""

    name: ClassVar[str]

    def __init__(self, config: Prep):
        self.config = config
        self.folder = Path(config.output) / WORK / self.name

    @abstractmethod
    def tasks(self) -> list[Task]:
        """All tasks, in the order of their output. Quick: it reads no documents."""

    @abstractmethod
    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        """Do one task: write files into the empty `folder`, return counts as plain JSON.

        The same task gives the same bytes. Raises UserError for what only the user can mend.
        """

    def begin(self, tasks: list[Task]) -> None:  # noqa: B027
        """Called by the process that leads, before any task is done or removed."""

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:  # noqa: B027
        """What remains when all tasks are done; called by the process that leads."""

    def task_folder(self, task_id: str) -> Path:
        return self.folder / task_id

    def receipt(self, task: Task) -> Receipt | None:
        """The receipt of a task that is done; None where it is not, or was under another key."""
        receipt = read_receipt(self.task_folder(task.id))
        return receipt if receipt is not None and receipt.key == task.key else None

    def receipts(self) -> list[Receipt]:
        """Receipts of all tasks, in order. RuntimeError where one is missing: a stage too early."""
        found = [self.receipt(task) for task in self.tasks()]
        if None in found:
            raise RuntimeError(f"stage {self.name} is not finished")
        return found

    def do(self, task: Task, progress: TaskProgress) -> None:
        """Run a task into its folder, whole or not at all."""
        with _collecting_seldom():
            build_task_folder(
                self.task_folder(task.id),
                task.key,
                lambda folder: self.run(task, folder, progress),
            )


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Documents and rows hold no cycles: looking for them often takes 4% of a run."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
