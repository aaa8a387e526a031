"""Runs the tasks of a stage that are not done, and says how far they are."""

import shutil

from data_prep.engine.local import LocalWorkers
from data_prep.engine.receipt import Receipt, task_begun
from data_prep.engine.stage import Stage, StageFailed, Task
from geo_nemo.common.progress import Progress, no_progress


def run_stage(
    stage: Stage, progress: Progress = no_progress, workers: LocalWorkers | None = None
) -> list[Receipt]:
    """Do the tasks of `stage` that are not done; the receipts of all, in order.

    workers: local processes that several stages share; without them the stage has its own.
    Folders of tasks that the stage no longer has are removed.
    Raises UserError or RunError; finished tasks stay finished.
    """
    tasks = stage.tasks()
    stage.begin(tasks)
    _remove_others(stage, tasks)
    pending = [task for task in tasks if stage.receipt(task) is None]
    if pending:
        _run(stage, pending, progress, workers)
    receipts = [stage.receipt(task) for task in tasks]
    missing = [task.id for task, r in zip(tasks, receipts, strict=True) if r is None]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        raise StageFailed(
            f"{stage.name}: {len(missing)} of {len(tasks)} tasks did not finish ({named}); what is "
            "finished is kept, the same command goes on from there"
        )
    stage.finish(tasks, receipts)
    return receipts


def _run(stage: Stage, tasks: list[Task], progress: Progress, workers: LocalWorkers | None) -> None:
    """Run `tasks` and return when all have ended; the receipts tell which are done."""
    execution = stage.config.execution
    if execution.executor != "local":
        from data_prep.engine.datatrove import run_datatrove

        run_datatrove(stage, tasks, execution, progress)
    elif workers is not None:
        workers.run(stage, tasks, progress)
    else:
        with LocalWorkers(execution) as own:
            own.run(stage, tasks, progress)


def _remove_others(stage: Stage, tasks: list[Task]) -> None:
    wanted, begun = {task.id for task in tasks}, set()
    if stage.config.execution.executor != "local":
        # A job of a launcher that went away may still be filling the folder aside.
        begun = {task.id for task in tasks if stage.receipt(task) is None}
    if stage.folder.is_dir():
        for path in stage.folder.iterdir():
            if path.is_dir() and path.name not in wanted and task_begun(path) not in begun:
                shutil.rmtree(path, ignore_errors=True)
