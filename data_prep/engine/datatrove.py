"""Tasks on a cluster: SLURM arrays or Ray actors, both by datatrove's executors.

Steps: a new attempt with a logging folder of its own; one step that does task `rank`; submit; look
at receipts until every task has one or the jobs are gone; say which failed, why, and where its log
is. Tasks that have receipts are never submitted, so the same command again does what is missing.
The output folder, the input and the environment must be the same on every node.
"""

import threading
from collections.abc import Callable

from data_prep.config import Execution
from data_prep.engine.attempt import (
    Attempt,
    TaskStep,
    Unfinished,
    named,
    new_attempt,
    raise_user_mistake,
)
from data_prep.engine.quiet import quiet
from data_prep.engine.stage import Stage, StageFailed, Task
from geo_nemo.common.errors import UserError
from geo_nemo.common.progress import Progress

POLL_S = 2.0


def run_datatrove(
    stage: Stage, tasks: list[Task], execution: Execution, progress: Progress
) -> None:
    """Run `tasks` where `execution` says, and return when all have receipts.

    Raises UserError for a mistake that a task met, or where the cluster's commands are missing;
    StageFailed where tasks ended without a receipt.
    """
    if execution.executor == "slurm":
        from data_prep.engine.slurm import run_slurm

        run_slurm(stage, tasks, execution.slurm, progress)
    else:
        run_ray(stage, tasks, execution, progress)


def run_ray(stage: Stage, tasks: list[Task], execution: Execution, progress: Progress) -> None:
    """Run `tasks` on the Ray cluster of RAY_ADDRESS, or on one started on this machine."""
    try:
        import ray
        from datatrove.executor.ray import RayPipelineExecutor
    except ImportError as error:
        raise UserError(
            f"execution.executor=ray needs Ray ({error.name or error} is missing): pip install "
            "-e '.[ray]' in the checkout, or set execution.executor=local"
        ) from None
    attempt = new_attempt(stage)
    step = TaskStep(type(stage), stage.config, tasks, attempt, own_process=True)
    started_here = not ray.is_initialized()
    with quiet():
        try:
            if started_here:
                ray.init(log_to_driver=False)
            executor = RayPipelineExecutor(
                pipeline=[step],
                tasks=len(tasks),
                workers=execution.workers or int(ray.cluster_resources().get("CPU", 1)),
                logging_dir=str(attempt.folder),
                mem_per_cpu_gb=1,
            )
            unfinished = Unfinished(stage, tasks, progress)
            runner = _Background(executor.run)
            while runner.is_alive():
                runner.join(POLL_S)
                unfinished.look()
                raise_user_mistake(attempt)
        finally:
            if started_here:
                ray.shutdown()
    unfinished.look(thoroughly=True)
    raise_user_mistake(attempt)
    if unfinished:
        raise _failed(stage, tasks, unfinished, attempt, runner.error)


class _Background(threading.Thread):
    """Runs `work`; `error` is what it raised."""

    def __init__(self, work: Callable[[], object]):
        super().__init__(daemon=True)
        self._work = work
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.error = error


def _failed(
    stage: Stage,
    tasks: list[Task],
    unfinished: Unfinished,
    attempt: Attempt,
    error: Exception | None,
) -> StageFailed:
    ranks = {task.id: rank for rank, task in enumerate(tasks)}
    failures = attempt.failures()
    why = [
        f"{i}: {failures[i].line if i in failures else 'was killed'} (log {attempt.log(ranks[i])})"
        for i in unfinished.ids
    ]
    own = f"Ray: {' '.join(str(error).split())[:200]}; " if error else ""
    return StageFailed(
        f"{stage.name}: {len(unfinished.ids)} of {len(tasks)} tasks did not finish: {own}"
        f"{named(why)}; what is finished is kept, the same command goes on from there"
    )
