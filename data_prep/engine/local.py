"""Tasks in this process, or in worker processes of this machine.

Not datatrove's local executor: when a worker of its pool is killed, it waits for ever.
"""

import ctypes
import multiprocessing
import os
import signal
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from data_prep.config import Execution, Prep
from data_prep.engine.stage import Stage, Task
from data_prep.engine.watch import TaskReport, reported, reporter
from geo_nemo.common.counts import plural
from geo_nemo.common.errors import RunError
from geo_nemo.common.log import logger
from geo_nemo.common.progress import Progress
from geo_nemo.storage.client import is_connected

LOG = logger(__name__)
POLL_S = 0.5
# Less is not worth the workers.
SMALL_BYTES = 2 << 20
_PR_SET_PDEATHSIG = 1


class LocalWorkers:
    """Worker processes of this machine, begun when they are first needed, for several stages.

    A context: at its end, or when a task fails, the workers end.
    """

    def __init__(self, execution: Execution):
        self.count = execution.workers or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "LocalWorkers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, stage: Stage, tasks: list[Task], progress: Progress) -> None:
        """Run `tasks`; the largest first, so that none is left alone at the end.

        Raises what a task raises, and RunError where a worker was killed.
        """
        total = sum(task.size for task in tasks)
        if self.count == 1 or len(tasks) == 1 or total < SMALL_BYTES:
            _run_here(stage, tasks, total, progress)
            return
        try:
            self._run_beside(stage, tasks, total, progress)
        except BrokenProcessPool:
            self.close()
            raise RunError(
                f"{stage.name}: a worker process was killed (out of memory, perhaps: try fewer "
                "execution.workers); what is finished is kept, the same command goes on from there"
            ) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers, whatever they do."""
        if self._pool is None:
            return
        # A mistake in one task ends the others: they would be done again anyway.
        for process in list((self._pool._processes or {}).values()):
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def _run_beside(self, stage: Stage, tasks: list[Task], total: int, progress: Progress) -> None:
        stage.folder.mkdir(parents=True, exist_ok=True)
        if self._pool is None:
            # Forks have what is imported and the tokenizer that was loaded to check it. A worker
            # that began anew would take a second for these, as long as it takes for 30 MB of text.
            # Only a client of `s3://` could not be used in a fork.
            self._pool = ProcessPoolExecutor(
                self.count,
                multiprocessing.get_context("spawn" if is_connected() else "fork"),
                initializer=_start_worker,
                initargs=(os.getpid(),),
            )
        ordered = sorted(tasks, key=lambda task: -task.size)
        futures: dict[Future, Task] = {
            self._pool.submit(_work, type(stage), stage.config, task): task for task in ordered
        }
        finished = documents = 0
        while futures:
            ended, _ = wait(futures, POLL_S, FIRST_COMPLETED)
            for future in ended:
                task = futures.pop(future)
                documents += future.result()
                finished += task.size
            running = [reported(stage.folder, task.id) for task in futures.values()]
            now = finished + sum(report.done for report in running)
            seen = documents + sum(report.documents for report in running)
            progress(stage.name, min(now, total), total, _note(seen))


def _run_here(stage: Stage, tasks: list[Task], total: int, progress: Progress) -> None:
    done = documents = 0
    for task in tasks:
        report = TaskReport()

        def show(now: int, count: int, report=report, done=done, documents=documents) -> None:
            report.done, report.documents = now, count
            progress(stage.name, done + now, total, _note(documents + count))

        stage.do(task, show)
        done += task.size
        documents += report.documents
        progress(stage.name, done, total, _note(documents))


def _start_worker(parent: int) -> None:
    """A worker ends with its parent or when it is told to, and leaves Ctrl-C to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Threads do not come along into a fork: tokenizers would wait for its own for ever, where this
    # process had used them and the user's environment says true.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _work(stage_type: type[Stage], config: Prep, task: Task) -> int:
    """Run one task in a worker; documents it was through."""
    stage = stage_type(config)
    LOG.debug(f"{stage.name}: task {task.id} begins")
    with reporter(stage.folder, task.id) as report:
        stage.do(task, report)
    LOG.debug(f"{stage.name}: task {task.id} is done, {report.documents:,} documents")
    return report.documents


def _note(documents: int) -> str:
    return plural(documents, "document") if documents else ""
