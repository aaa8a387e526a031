"""What a training asks of SLURM."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from geo_nemo.config.section import NonNegative, Positive, Section

Check = Literal["node", "doctor", "allreduce"]
# Minutes, hours or days, as sbatch(1) has them.
_WALLTIME = re.compile(r"\d+|\d+:\d{2}|\d+:\d{2}:\d{2}|\d+-\d+(:\d{2}){0,2}")
# Options of sbatch that would contradict a setting of which more than sbatch goes by.
_SETTING_OF = {
    "--nodes": "nodes",
    "-N": "nodes",
    "--ntasks": "gpus_per_node",
    "-n": "gpus_per_node",
    "--ntasks-per-node": "gpus_per_node",
    "--gpus": "gpus_per_node",
    "-G": "gpus_per_node",
    "--gpus-per-node": "gpus_per_node",
    "--time": "time",
    "-t": "time",
    "--signal": "signal_seconds",
    "--array": "at_once",
    "-a": "at_once",
    "--cpus-per-task": "cpus_per_task",
    "-c": "cpus_per_task",
    "--mem": "memory",
    "--partition": "partition",
    "-p": "partition",
    "--account": "account",
    "-A": "account",
    "--qos": "qos",
    "-q": "qos",
    "--export": "env_file",
}
_MEMORY = re.compile(r"\d+[KMGT]?")


def _as_walltime(value: Any) -> Any:
    return str(value) if type(value) is int else value


def is_walltime(value: str) -> bool:
    """Whether `walltime_minutes` reads it."""
    return _WALLTIME.fullmatch(value) is not None


def _check_walltime(value: str | None) -> str | None:
    if value is not None and not is_walltime(value):
        raise ValueError(f"{value} is no time: give minutes (90), HH:MM:SS or D-HH:MM:SS")
    return value


def _check_memory(value: str | None) -> str | None:
    if value is not None and not _MEMORY.fullmatch(value):
        raise ValueError(f"{value} is no memory: give 64G, 900M, or 0 for all of the node's")
    return value


# sbatch's minutes, hours or days: 90, 24:00:00, 2-00:00:00.
Walltime = Annotated[str, BeforeValidator(_as_walltime), AfterValidator(_check_walltime)]
# sbatch's --mem of a node: 64G, 900M; 0: all of it.
Memory = Annotated[str, BeforeValidator(_as_walltime), AfterValidator(_check_memory)]


def walltime_minutes(value: str) -> float:
    """What sbatch makes of a time limit."""
    days, _, clock = value.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = (0, *parts, 0)[:3]
    return 1440 * int(days or 0) + 60 * hours + minutes + seconds / 60


class Task(Section):
    """What a job of one task asks for: preparation, evaluation or report.

    cpus, gpus; memory: null is 4 GiB a CPU. partition, account, qos, time: null is the training's.
    sbatch: further options, behind those of `slurm.sbatch`.
    """

    cpus: Positive | None = None
    gpus: NonNegative | None = None
    memory: Memory | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: Walltime | None = None
    sbatch: tuple[str, ...] = ()

    @field_validator("sbatch")
    @classmethod
    def _no_setting_of_ours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _without_settings(value)


def _without_settings(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        # A short option may have its value behind it, as -N4 and -N=4.
        name = word[:2] if word[:2] in _SETTING_OF else word.partition("=")[0]
        if setting := _SETTING_OF.get(name):
            raise ValueError(f"{word} is slurm.{setting}'s to say: give that")
    return words


class Slurm(Section):
    """A job of one process a GPU.

    processes_per_node: where there are no GPUs. time: sbatch's, as 24:00:00 or 2-00:00:00.
    signal_seconds: how long before the end the run is told to save; `health.margin_minutes` is
        the trainer's own clock.
    memory: of a node; null is all of it, or where the node is shared 4 GiB a CPU.
    container: image, by path (.sqsh, .sif) or name (registry#name). mounts: further folders that it
        sees. env_file: shell file with secrets and site settings, readable by its owner alone.
    command: how geo-nemo is started on a node; null is `geo-nemo` in a container, and this
        installation where there is none.
    checks: before the start; [] for none. min_free_gb: free space of the output below which the
        log has a note.
    min_busbw: GB/s of an all-reduce within a node, below which the node is at fault.
    numa: bind each process to the cores and the memory beside its GPU.
    restarts: starts without a newer checkpoint before the job gives up. requeues: starts in all.
    drain: drain a faulty node where you may; otherwise the job leaves it out.
    at_once: runs of an array that go on at the same time; null: as many as SLURM starts.
    sbatch: further options of sbatch, word by word, of every job; none that a setting decides.
    prep, eval, report: what the jobs around the training ask for.
    """

    nodes: Positive = 1
    gpus_per_node: NonNegative = 8
    processes_per_node: Positive = 1
    cpus_per_task: Positive = 12
    memory: Memory | None = None
    time: Walltime = "24:00:00"
    signal_seconds: Positive = 600
    exclusive: bool = True
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    container: str | None = None
    runtime: Literal["pyxis", "apptainer", "none"] | None = None
    mounts: tuple[str, ...] = ()
    env_file: str | None = None
    command: str | None = None
    checks: tuple[Check, ...] = ("node", "doctor", "allreduce")
    min_free_gb: NonNegative = 50
    min_busbw: Annotated[float, Field(gt=0)] | None = None
    restarts: Positive = 3
    requeues: Positive = 100
    numa: bool = True
    drain: bool = False
    at_once: Positive | None = None
    sbatch: tuple[str, ...] = ()

    prep: Task = Task()
    eval: Task = Task()
    report: Task = Task(cpus=2)

    @field_validator("sbatch")
    @classmethod
    def _no_setting_of_ours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _without_settings(value)

    @property
    def tasks_per_node(self) -> int:
        """Processes of a node: one a GPU."""
        return self.gpus_per_node or self.processes_per_node

    @property
    def world_size(self) -> int:
        """Processes of the job."""
        return self.nodes * self.tasks_per_node

    @property
    def minutes(self) -> float:
        """`time` in minutes."""
        return walltime_minutes(self.time)


class Launch(Section):
    """Settings of `geo-nemo launch` that begin with slurm."""

    slurm: Slurm
