"""Where the tasks of a stage run."""

from typing import Literal

from geo_nemo.config.section import NonNegative, Positive, Section


class Slurm(Section):
    """What a task asks of SLURM; sbatch(1) has the meaning of each.

    tasks_per_job: tasks that one job of the array does, one after another.
    max_jobs: jobs of the array at the same time.
    env_command: shell line that a job runs first, such as the activation of an environment.
    """

    partition: str = ""
    account: str | None = None
    qos: str | None = None
    time: str = "08:00:00"
    cpus_per_task: Positive = 1
    mem_per_cpu_gb: Positive = 4
    tasks_per_job: Positive = 1
    max_jobs: Positive = 256
    env_command: str | None = None


class Execution(Section):
    """How stages run.

    executor: `local` processes; `slurm` arrays or `ray` workers, both by datatrove's executors.
    workers: local processes, or Ray workers; 0 is one a core.
    """

    executor: Literal["local", "slurm", "ray"] = "local"
    workers: NonNegative = 0
    slurm: Slurm = Slurm()
