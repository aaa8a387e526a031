"""Tasks as a SLURM array, submitted by datatrove and watched here.

Jobs outlive the launcher: one that starts again finds them by the ids that were kept, and goes on
waiting for them where they do what it would submit, or cancels them where they do not.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from datatrove.executor.slurm import SlurmPipelineExecutor

from data_prep.config import Slurm
from data_prep.engine.attempt import (
    Attempt,
    TaskStep,
    Unfinished,
    attempts,
    named,
    new_attempt,
    raise_user_mistake,
)
from data_prep.engine.quiet import quiet
from data_prep.engine.stage import Stage, StageFailed, Task
from geo_nemo.common.errors import RunError, UserError
from geo_nemo.common.progress import Progress
from geo_nemo.common.slurm import slurm_environment

ROOT = Path(__file__).parents[2]
# Seconds between looks at the receipts, and between questions to the controller.
LOOK_S, ASK_S = 5.0, 20.0
# How long a shared file system may take to show what a job wrote before it ended.
LATE_S = 30.0
# How long the controller may not answer.
SILENT_S = 900.0
ANSWER_S = 60.0
# Jobs in an array, at most: SLURM's own default. datatrove submits further arrays behind it.
ARRAY_JOBS = 1001


def run_slurm(stage: Stage, tasks: list[Task], slurm: Slurm, progress: Progress) -> None:
    """Submit `tasks` and wait for them.

    Raises UserError for a mistake that a task met, for SLURM commands that are missing and for a
    job that is refused; StageFailed where jobs ended without their receipts.
    """
    for command in ("sbatch", "squeue", "scancel"):
        if shutil.which(command) is None:
            raise UserError(
                f"execution.executor=slurm, but there is no {command} here: run on a login node of "
                "the cluster, or set execution.executor=local"
            )
    _settle_earlier(stage, tasks, progress)
    tasks = [task for task in tasks if stage.receipt(task) is None]
    if not tasks:
        return
    attempt = new_attempt(stage)
    if any(character.isspace() for character in str(attempt.folder)):
        raise UserError(f"SLURM's scripts take no space in a path: give another output than "
                        f"{stage.config.output!r}")  # fmt: skip
    jobs = _submit(stage, tasks, slurm, attempt)
    _wait(stage, tasks, jobs, attempt, progress)


class _Executor(SlurmPipelineExecutor):
    """datatrove's, with what its script needs on clusters without defaults."""

    def get_sbatch_args(self, max_array: int = 1) -> dict:
        # A name without a value is an error of sbatch, and the cluster has a default partition.
        arguments = super().get_sbatch_args(max_array)
        return {k: v for k, v in arguments.items() if k != "partition" or v}

    def launch_merge_stats(self) -> None:
        """No further job: the counts are in the receipts."""

    def get_distributed_env(self, node_rank: int = -1) -> dict[str, str]:
        # datatrove's asks scontrol, which a container seldom has; no step of ours spans nodes.
        return {
            "datatrove_node_ips": os.environ.get("SLURM_JOB_NODELIST", ""),
            "datatrove_cpus_per_task": str(self.cpus_per_task),
            "datatrove_mem_per_cpu": str(self.mem_per_cpu_gb),
            "datatrove_gpus_on_node": "0",
            "datatrove_executor": "SLURM",
        }


class _Submitted(list):
    """Ids of jobs, as sbatch prints them: `Submitted batch job 123`."""

    def __call__(self, output: str) -> str:
        number = output.split()[-1] if output.split() else ""
        if not number.isdigit():
            raise UserError(f"sbatch gave no job number, but {output[:100]!r}")
        self.append(number)
        return number


def _submit(stage: Stage, tasks: list[Task], slurm: Slurm, attempt: Attempt) -> list[str]:
    jobs = _Submitted()
    executor = _Executor(
        pipeline=[TaskStep(type(stage), stage.config, tasks, attempt)],
        tasks=len(tasks),
        job_name=f"geo-nemo-{stage.name}",
        partition=slurm.partition,
        qos=slurm.qos,
        time=slurm.time,
        cpus_per_task=slurm.cpus_per_task,
        mem_per_cpu_gb=slurm.mem_per_cpu_gb,
        tasks_per_job=slurm.tasks_per_job,
        workers=slurm.max_jobs,
        env_command=slurm.env_command or _same_environment(),
        sbatch_args={"account": slurm.account} if slurm.account else {},
        max_array_size=ARRAY_JOBS,
        job_id_retriever=jobs,
        logging_dir=str(attempt.folder),
    )
    try:
        with quiet():
            executor.launch_job()
    except subprocess.CalledProcessError as error:
        _cancel(jobs)
        raise UserError(
            f"sbatch refused the job (exit status {error.returncode}; its reason stands above): "
            "mend execution.slurm"
        ) from None
    except BaseException:
        _cancel(jobs)
        raise
    finally:
        attempt.save_jobs(jobs, tasks, slurm.tasks_per_job)
    return list(jobs)


def _same_environment() -> str:
    """A shell line that gives a job this process's Python and this code."""
    folder, root = shlex.quote(str(Path(sys.executable).parent)), shlex.quote(str(ROOT))
    return f'export PATH={folder}:"$PATH" PYTHONPATH={root}"${{PYTHONPATH:+:$PYTHONPATH}}"'


def _settle_earlier(stage: Stage, tasks: list[Task], progress: Progress) -> None:
    """Wait for jobs of a launcher that went away, where they do these tasks; cancel others."""
    keys = {task.id: task.key for task in tasks}
    for attempt in attempts(stage):
        submitted = attempt.jobs()
        if submitted is None or not submitted.jobs or not _alive(submitted.jobs):
            continue
        if all(submitted.tasks.get(i) == key for i, key in keys.items()):
            wanted = [task for task in tasks if task.id in submitted.tasks]
            _wait(stage, wanted, list(submitted.jobs), attempt, progress)
        else:
            _cancel(submitted.jobs)
            while _alive(submitted.jobs):
                time.sleep(LOOK_S)


def _wait(
    stage: Stage, tasks: list[Task], jobs: list[str], attempt: Attempt, progress: Progress
) -> None:
    """Return when all tasks have receipts; cancel jobs at a user's mistake or interruption."""
    unfinished = Unfinished(stage, tasks, progress)
    try:
        _watch(unfinished, jobs, attempt)
    except (UserError, KeyboardInterrupt):
        _cancel(jobs)
        raise
    if unfinished:
        raise _failed(stage, tasks, unfinished, jobs, attempt)


def _watch(unfinished: Unfinished, jobs: list[str], attempt: Attempt) -> None:
    ask = 0.0
    while True:
        unfinished.look()
        raise_user_mistake(attempt)
        if not unfinished:
            return
        if time.monotonic() >= ask:
            if not _alive(jobs):
                break
            ask = time.monotonic() + ASK_S
        time.sleep(LOOK_S)
    late = time.monotonic() + LATE_S
    while True:
        unfinished.look(thoroughly=True)
        raise_user_mistake(attempt)
        known = attempt.failures()
        if all(i in known for i in unfinished.ids) or time.monotonic() > late:
            return
        time.sleep(LOOK_S)


def _alive(jobs: Sequence[str]) -> bool:
    """Whether the controller still has one of `jobs`. RunError where it does not answer at all."""
    deadline = time.monotonic() + SILENT_S
    while True:
        try:
            done = _run("squeue", "--noheader", "--format=%i", f"--jobs={','.join(jobs)}")
        except subprocess.TimeoutExpired:
            reason = f"no answer in {ANSWER_S:g} s"
        else:
            if done.returncode == 0:
                return bool(done.stdout.strip())
            if "Invalid job id" in done.stderr:
                return False
            reason = " ".join(done.stderr.split())[:200]
        if time.monotonic() > deadline:
            raise RunError(
                f"squeue fails for {SILENT_S / 60:g} minutes: {reason}; jobs {','.join(jobs)} may "
                "go on, and the same command finds them"
            )
        time.sleep(LOOK_S)


def _cancel(jobs: Sequence[str]) -> None:
    if jobs:
        with suppress(subprocess.TimeoutExpired):
            _run("scancel", *jobs)


def _run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, env=slurm_environment(), capture_output=True, text=True, timeout=ANSWER_S
    )


def _failed(
    stage: Stage, tasks: list[Task], unfinished: Unfinished, jobs: list[str], attempt: Attempt
) -> StageFailed:
    submitted = attempt.jobs()
    ranks = {task_id: rank for rank, task_id in enumerate(submitted.tasks)}
    failures, states = attempt.failures(), _states(jobs)
    why = []
    for task_id in unfinished.ids:
        rank = ranks[task_id]
        if task_id in failures:
            why.append(f"{task_id}: {failures[task_id].line} (log {attempt.log(rank)})")
            continue
        array, index = divmod(rank // submitted.tasks_per_job, ARRAY_JOBS)
        job = f"{jobs[array]}_{index}"
        log = attempt.folder / "slurm_logs" / f"{job}.out"
        why.append(f"{task_id}: {states.get(job, 'ended without a result')} (log {log})")
    return StageFailed(
        f"{stage.name}: {len(why)} of {len(tasks)} tasks did not finish: {named(why)}; what is "
        "finished is kept, the same command goes on from there"
    )


def _states(jobs: Sequence[str]) -> dict[str, str]:
    """What accounting knows of the jobs of arrays, by `<array>_<index>`; nothing without it."""
    if shutil.which("sacct") is None:
        return {}
    try:
        done = _run(
            "sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State",
            f"--jobs={','.join(jobs)}",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}
    rows = (line.partition("|") for line in done.stdout.splitlines())
    return {job: f"ended {state}" for job, _, state in rows}
