"""One submission of a stage's tasks to a cluster: what it runs, how far it is, what failed.

    work/.datatrove/<stage>/<number>/   in the output: datatrove's folder of logs, each time anew
        executor.pik, logs/, slurm_logs/    datatrove's
        jobs.json                           what was submitted, for the launcher after this
        failed/<rank>.json                  why a task ended

Receipts alone prove a task done: datatrove's own marks go by rank, and a rank is another task when
the input has changed.
"""

import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from data_prep.config import Prep
from data_prep.engine.stage import WORK, Stage, Task
from data_prep.engine.watch import reported, reporter
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.common.files import make_folder, write_whole
from geo_nemo.common.progress import Progress
from geo_nemo.config.section import Positive, Section

FOLDER = ".datatrove"
FAILED, JOBS_NAME = "failed", "jobs.json"
NAMED = 3


class Failure(Section):
    """Why a task ended. user: a mistake that only the user can mend."""

    task: str
    user: bool
    line: str


class Jobs(Section):
    """Jobs of an attempt, in the order of their ranks, and its tasks by rank: key by id."""

    jobs: tuple[str, ...]
    tasks: dict[str, str]
    tasks_per_job: Positive


@dataclass(frozen=True)
class Attempt:
    """The folder of one submission."""

    folder: Path

    @property
    def number(self) -> int:
        return int(self.folder.name)

    def save_jobs(self, jobs: list[str], tasks: list[Task], tasks_per_job: int) -> None:
        keys = {task.id: task.key for task in tasks}
        content = Jobs(jobs=tuple(jobs), tasks=keys, tasks_per_job=tasks_per_job)
        write_whole(self.folder / JOBS_NAME, content.model_dump_json().encode())

    def jobs(self) -> Jobs | None:
        """What was submitted; None where nothing was."""
        try:
            return Jobs.model_validate_json((self.folder / JOBS_NAME).read_bytes())
        except (OSError, ValidationError):
            return None

    def failures(self) -> dict[str, Failure]:
        """Failures so far, by task."""
        found = {}
        for path in sorted((self.folder / FAILED).glob("*.json")):
            try:
                failure = Failure.model_validate_json(path.read_bytes())
            except (OSError, ValidationError):
                continue
            found[failure.task] = failure
        return found

    def log(self, rank: int) -> Path:
        """datatrove's log of a rank."""
        return self.folder / "logs" / f"task_{rank:05d}.log"


def attempts(stage: Stage) -> list[Attempt]:
    """The attempts at a stage, oldest first."""
    home = _home(stage)
    folders = [p for p in home.iterdir() if p.name.isdigit()] if home.is_dir() else []
    return sorted(map(Attempt, folders), key=lambda attempt: attempt.number)


def new_attempt(stage: Stage) -> Attempt:
    """An empty folder for the next attempt."""
    earlier = attempts(stage)
    number = earlier[-1].number + 1 if earlier else 0
    folder = _home(stage) / f"{number:04d}"
    make_folder(folder / FAILED)
    return Attempt(folder.resolve())


def _home(stage: Stage) -> Path:
    # Not in the stage's own folder: that holds tasks, and what is no task of it is removed.
    return Path(stage.config.output) / WORK / FOLDER / stage.name


class TaskStep:
    """A pipeline step of datatrove: `step(data, rank, world_size)` does task `rank` of a stage.

    datatrove pickles it into its own logging folder, and its worker reads that file back; nothing
    of the project reads a pickle. A task that has its receipt is not done again, so a job that is
    requeued goes on where it was.

    own_process: do the task in a child, so that a task that is killed is an error here: the pool
        that datatrove's Ray actor runs its ranks in waits for ever for a process that was killed.
    """

    def __init__(
        self,
        stage_type: type[Stage],
        config: Prep,
        tasks: list[Task],
        attempt: Attempt,
        own_process: bool = False,
    ):
        self.stage_type, self.config, self.tasks, self.attempt = stage_type, config, tasks, attempt
        self.own_process = own_process
        # The config's relative paths are those of the launcher.
        self.working_folder = os.getcwd()

    def __repr__(self) -> str:
        return f"{self.stage_type.name}: {len(self.tasks)} tasks"

    def __call__(self, data: object, rank: int, world_size: int) -> None:
        if world_size != len(self.tasks):
            raise RuntimeError(f"{len(self.tasks)} tasks, but datatrove has {world_size} ranks")
        if self.own_process:
            _in_child(lambda: self._do(rank))
        else:
            self._do(rank)

    def _do(self, rank: int) -> None:
        task, stage = self.tasks[rank], None
        try:
            os.chdir(self.working_folder)
            stage = self.stage_type(self.config)
            if stage.receipt(task) is not None:
                return
            make_folder(stage.folder)
            with reporter(stage.folder, task.id) as report:
                stage.do(task, report)
        except Exception as error:
            if stage is not None and stage.receipt(task) is not None:
                return  # the job was requeued, and its new process was the quicker
            self._record(rank, task, error)
            raise

    def _record(self, rank: int, task: Task, error: Exception) -> None:
        kind = "" if isinstance(error, UserError | RunError) else f"{type(error).__name__}: "
        line = " ".join(f"{kind}{error}".split())[:500]
        failure = Failure(task=task.id, user=isinstance(error, UserError), line=line)
        path = self.attempt.folder / FAILED / f"{rank:05d}.json"
        try:
            write_whole(path, failure.model_dump_json().encode())
        except UserError:
            # A full disk, most likely: the log of the task says so too.
            traceback.print_exc()


def _in_child(work: Callable[[], None]) -> None:
    """Run `work` in a fork; RuntimeError where that was killed or failed."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise RuntimeError(f"the task was killed by signal {os.WTERMSIG(status)}")
    if status:
        raise RuntimeError("the task failed; its error stands above")


class Unfinished:
    """The tasks of an attempt that have no receipt yet, and the progress of all of them."""

    def __init__(self, stage: Stage, tasks: list[Task], progress: Progress):
        self._stage, self._progress = stage, progress
        self._open = {task.id: task for task in tasks}
        self._count = len(tasks)
        self._total = sum(task.size for task in tasks)
        self._finished = 0
        # Folders of an earlier key, by inode: their receipts need not be read again.
        self._old: dict[str, int] = {}
        make_folder(stage.folder)
        for task in tasks:
            (stage.folder / f"{task.id}.progress").unlink(missing_ok=True)

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def ids(self) -> list[str]:
        return list(self._open)

    def look(self, thoroughly: bool = False) -> None:
        """Find tasks that have finished since, and tell the progress."""
        running = done = 0
        with os.scandir(self._stage.folder) as entries:
            for entry in entries:
                name = entry.name
                if name in self._open:
                    if thoroughly or self._old.get(name) != entry.inode():
                        self._check(name, entry.inode())
                elif name.endswith(".progress") and name[: -len(".progress")] in self._open:
                    running += 1
                    done += reported(self._stage.folder, name[: -len(".progress")]).done
        ended = self._count - len(self._open)
        note = f"{ended:,} of {self._count:,} tasks, {running:,} running"
        now = min(self._finished + done, self._total)
        self._progress(self._stage.name, now, self._total, note)

    def _check(self, name: str, inode: int) -> None:
        task = self._open[name]
        if self._stage.receipt(task) is None:
            self._old[name] = inode
            return
        self._finished += task.size
        del self._open[name]


def raise_user_mistake(attempt: Attempt) -> None:
    """Raise the UserError that a task of the attempt ended with, if one did."""
    for failure in attempt.failures().values():
        if failure.user:
            raise UserError(failure.line)


def named(texts: list[str]) -> str:
    """The first few of `texts`, and how many more there are."""
    more = f" and {len(texts) - NAMED} more" if texts[NAMED:] else ""
    return "; ".join(texts[:NAMED]) + more
