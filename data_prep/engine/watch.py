"""How far a task is, told from one process to another through a small file."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

INTERVAL_S = 0.5


@dataclass
class TaskReport:
    """Bytes of the task's size that are done, and documents so far."""

    done: int = 0
    documents: int = 0


class _Reporter(TaskReport):
    def __init__(self, path: Path):
        super().__init__()
        self._path = path
        self._next = 0.0

    def __call__(self, done: int, documents: int) -> None:
        self.done, self.documents = done, documents
        now = time.monotonic()
        if now >= self._next:
            self._next = now + INTERVAL_S
            # One short line, replaced whole: a reader never sees half of it.
            aside = self._path.with_suffix(".next")
            aside.write_text(f"{done} {documents}")
            with suppress(FileNotFoundError):  # the old process of a requeued job was the quicker
                os.replace(aside, self._path)


@contextmanager
def reporter(folder: Path, task_id: str) -> Iterator[_Reporter]:
    """A `TaskProgress` that writes `<folder>/<task_id>.progress` while the block runs."""
    path = _path(folder, task_id)
    try:
        yield _Reporter(path)
    finally:
        path.unlink(missing_ok=True)


def reported(folder: Path, task_id: str) -> TaskReport:
    """What a running task told last; nothing where it told nothing yet."""
    try:
        done, documents = _path(folder, task_id).read_text().split()
        return TaskReport(int(done), int(documents))
    except (OSError, ValueError):
        return TaskReport()


def _path(folder: Path, task_id: str) -> Path:
    return folder / f"{task_id}.progress"
