"""Jobs of a launch: what each asks of sbatch, and the file of settings that it reads.

    OUTPUT/slurm/launch-1a2b3c4d/train.sh     of slurm/train.sbatch: GEO_NEMO_ settings, its runs
                                 train-0.json the resolved config of run 0
                                 prep.sh, prep-0.json, ...

A job gets the path of its file and the SHA-256 of it, so it does not depend on the environment that
sbatch hands on, which a site may forbid, nor on recipes that the submitter alone has.
"""

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geo_nemo.common.files import make_folder, partial_of, write_whole
from geo_nemo.common.slurm import slurm_environment
from geo_nemo.config import Run, UserError
from geo_nemo.config.launch import Slurm, Task
from geo_nemo.config.section import Section
from geo_nemo.config.tune import Tune
from geo_nemo.config.whole import as_json
from geo_nemo.launch.cluster import Ask

# How SLURM's commands find its controller, in a job or not.
_OF_THE_SITE = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_CLUSTERS")
# Of a job that shares its node.
GIB_PER_CPU = 4
HEAD = "# Settings of the job {name}, by geo-nemo launch. The job refuses them when they change.\n"


@dataclass(frozen=True, slots=True)
class Job:
    """One call of sbatch.

    options: sbatch's. command: the words before the config's file. configs: of each run, a whole
    one. outputs, stores: of each run; a store is empty where it is not known. ask: what the cluster
    is asked about. named: of each run, the setting that names its output; none where it is not
    claimed. partials: where a tuning goes on until it is whole; it must find its output absent, so
    `outputs` are the job's own.
    """

    name: str
    script: str
    options: tuple[str, ...]
    command: tuple[str, ...]
    configs: tuple[dict[str, Any], ...]
    outputs: tuple[str, ...]
    ask: Ask
    stores: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    partials: tuple[str, ...] = ()


@dataclass(frozen=True)
class Launch:
    """Jobs, each waiting for the one before it, and where their settings are written.

    folder: receives the settings; its parent the logs. scripts: the folder of job scripts.
    """

    folder: Path
    scripts: Path
    environment: Mapping[str, str]
    jobs: Sequence[Job]
    files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for job in self.jobs:
            for number, config in enumerate(job.configs):
                self.files[self._config(job, number).name] = as_json(config).encode()
            self.files[f"{job.name}.sh"] = self._settings(job)

    def write(self) -> None:
        """Write every file; each is whole or as before."""
        make_folder(self.folder)
        for name, content in self.files.items():
            write_whole(self.folder / name, content)

    def settings(self, job: Job) -> str:
        """What the job's own file has."""
        return self.files[f"{job.name}.sh"].decode()

    def call(self, job: Job, after: str | None) -> list[str]:
        """The call of sbatch. after: the job that must have ended well."""
        behind = [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"] if after else []
        number = "%A_%a" if any(word.startswith("--array=") for word in job.options) else "%j"
        logs = str(self.folder.parent).replace("%", "%%")
        script = str(self.scripts / job.script)
        file = self.folder / f"{job.name}.sh"
        given = ["--launch", str(file), _sha256(self.files[file.name])]
        log = f"--output={logs}/{job.name}-{number}.out"
        # Said in the scripts, which variables of the user's would overrule.
        always = ["--requeue", "--open-mode=append"]
        return ["sbatch", "--parsable", log, *always, *job.options, *behind, script, *given]

    def _config(self, job: Job, number: int) -> Path:
        return self.folder / f"{job.name}-{number}.json"

    def _settings(self, job: Job) -> bytes:
        """The file that the job sources: variables of its script, and arrays with its runs."""
        configs = [self._config(job, number) for number in range(len(job.configs))]
        arrays = {
            "launch_command": job.command,
            "launch_outputs": job.outputs,
            "launch_stores": job.stores or [""] * len(job.outputs),
            "launch_configs": list(map(str, configs)),
            "launch_hashes": [_sha256(self.files[path.name]) for path in configs],
        }
        if job.partials:
            arrays["launch_partials"] = job.partials
        own = {**self.environment, "launch_file": str(self.folder / f"{job.name}.sh")}
        lines = [f"{key}={shlex.quote(value)}\n" for key, value in own.items()]
        lines += [f"{key}=({shlex.join(words)})\n" for key, words in arrays.items()]
        return "".join([HEAD.format(name=job.name), *lines]).encode()


def submit(job: Job, launch: Launch, after: str | None) -> str:
    """The number of the job that sbatch takes."""
    done = subprocess.run(
        launch.call(job, after), env=handed_on(os.environ), capture_output=True, text=True
    )
    number = done.stdout.strip().partition(";")[0]
    if done.returncode or not number.isdigit():
        said = " ".join((done.stderr or done.stdout).split())
        raise UserError(f"sbatch refused the job {job.name}: {said[:300]}")
    return number


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What a job gets of the shell that submits it, where the site hands an environment on.

    Not the settings of another day, and of a job in which the shell runs nothing that is that
    job's: srun ends where it finds the memory of one beside that of the other.
    """
    return {
        key: value
        for key, value in environment.items()
        if not key.startswith("GEO_NEMO_")
        and (not key.startswith(("SLURM_", "SLURMD_", "SRUN_")) or key in _OF_THE_SITE)
    }


def withdraw(numbers: Collection[str]) -> str:
    """Cancel the jobs of a chain that has a link too few; what became of them."""
    if not numbers:
        return ""
    try:
        done = subprocess.run(["scancel", *numbers], env=slurm_environment(), capture_output=True)
    except OSError:
        done = None
    if done is None or done.returncode:
        return f"; cancel what was submitted before it: scancel {' '.join(numbers)}"
    return f"; those before it ({' '.join(numbers)}) are cancelled"


def scripts_dir() -> Path:
    """The folder of job scripts: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "slurm", package.parent / "slurm"):
        if (folder / "train.sbatch").is_file():
            return folder
    raise UserError(f"no folder slurm beside {package}: reinstall geo-nemo")


def settings_folder(outputs: Sequence[str], told: object) -> Path:
    """Where a launch writes: beside its run, or its runs; another name where `told` is another.

    told: all that the files hold, for a job in the queue refuses one that was changed.
    """
    place = outputs[0]
    if len(outputs) > 1:
        common = os.path.commonpath(outputs)
        place = common if common != "/" else os.path.dirname(place)
    name = hashlib.sha256(repr(told).encode()).hexdigest()[:8]
    return Path(place) / "slurm" / f"launch-{name}"


def training_job(slurm: Slurm, name: str, runs: Sequence[Run], is_array: bool) -> Job:
    """The training, or an array of trainings."""
    options, ask = _process_options(slurm, name)
    if is_array:
        at_once = f"%{slurm.at_once}" if slurm.at_once else ""
        options.append(f"--array=0-{len(runs) - 1}{at_once}")
    return Job(
        "train",
        "train.sbatch",
        (*options, *_site(ask), *slurm.sbatch),
        ("train", "--config"),
        tuple(run.model_dump(mode="json") for run in runs),
        tuple(run.output_dir for run in runs),
        ask,
        tuple(run.data.store for run in runs),
        tuple(f"output_dir={run.output_dir}" for run in runs),
    )


def tuning_job(slurm: Slurm, config: Tune) -> Job:
    """The tuning; its job has a folder of its own, beside the output."""
    options, ask = _process_options(slurm, "tune")
    output = os.path.normpath(config.output)
    return Job(
        "tune",
        "train.sbatch",
        (*options, *_site(ask), *slurm.sbatch),
        ("tune", config.model, "--config"),
        (config.model_dump(mode="json"),),
        (f"{output}.job",),
        ask,
        named=(f"output={output}",),
        partials=(str(partial_of(Path(output).resolve())),),
    )


def _process_options(slurm: Slurm, name: str) -> tuple[list[str], Ask]:
    """Options of sbatch for a job of one process a GPU, and what the cluster is asked about."""
    options = [
        f"--job-name=geo-nemo-{name}",
        f"--nodes={slurm.nodes}",
        f"--ntasks-per-node={slurm.tasks_per_node}",
        f"--gpus-per-node={slurm.gpus_per_node}",
        f"--cpus-per-task={slurm.cpus_per_task}",
        f"--time={slurm.time}",
        f"--signal=B:USR1@{slurm.signal_seconds}",
    ]
    # The script asks for the whole node; to share one, its memory must not be asked for whole. By
    # --mem, as in the script: sbatch refuses it beside --mem-per-cpu.
    shared = f"{GIB_PER_CPU * slurm.cpus_per_task * slurm.tasks_per_node}G"
    memory = slurm.memory or ("" if slurm.exclusive else shared)
    options += ["--exclusive"] if slurm.exclusive else ["--oversubscribe"]
    options += [f"--mem={memory}"] if memory else []
    ask = Ask("slurm", slurm.partition, slurm.account, slurm.qos, slurm.time, slurm.nodes)
    return options, ask


def task_job(
    slurm: Slurm,
    name: str,
    task: Task,
    command: Sequence[str],
    config: Section,
    output: str,
    named: Sequence[str] = (),
) -> Job:
    """A job of one task before or behind the training; what it does not name is the training's."""
    ask = Ask(
        f"slurm.{name}",
        task.partition or slurm.partition,
        task.account or slurm.account,
        task.qos or slurm.qos,
        # A partition that ends earlier than the script's day would let the job wait for ever.
        task.time or slurm.time,
        1,
    )
    cpus = task.cpus or slurm.cpus_per_task
    gpus = task.gpus
    if gpus is None:
        gpus = int(name == "eval" and slurm.gpus_per_node > 0)
    options = (
        f"--job-name=geo-nemo-{name}",
        f"--cpus-per-task={cpus}",
        f"--mem={task.memory or f'{GIB_PER_CPU * cpus}G'}",
        f"--time={ask.time}",
        f"--gpus-per-node={gpus}",
        *_site(ask),
        *slurm.sbatch,
        *task.sbatch,
    )
    whole = config.model_dump(mode="json")
    return Job(
        name, "command.sbatch", options, tuple(command), (whole,), (output,), ask,
        named=tuple(named),
    )  # fmt: skip


def job_environment(slurm: Slurm, scripts: Path) -> dict[str, str]:
    """The GEO_NEMO_ variables of a job; secrets are none of them."""
    return {
        "GEO_NEMO_SLURM": str(scripts),
        "GEO_NEMO_COMMAND": slurm.command or _own_command(slurm),
        "GEO_NEMO_GPUS": str(slurm.gpus_per_node),
        "GEO_NEMO_CHECKS": " ".join(slurm.checks),
        "GEO_NEMO_MIN_FREE_GB": str(slurm.min_free_gb),
        "GEO_NEMO_MIN_BUSBW": f"{slurm.min_busbw:g}" if slurm.min_busbw else "",
        "GEO_NEMO_RESTARTS": str(slurm.restarts),
        "GEO_NEMO_REQUEUES": str(slurm.requeues),
        "GEO_NEMO_DRAIN": str(int(slurm.drain)),
        "GEO_NEMO_NUMA": str(int(slurm.numa)),
        "GEO_NEMO_CONTAINER": slurm.container or "",
        "GEO_NEMO_RUNTIME": slurm.runtime or "",
        "GEO_NEMO_MOUNTS": ",".join(slurm.mounts),
        "GEO_NEMO_ENV_FILE": slurm.env_file or "",
    }


def _own_command(slurm: Slurm) -> str:
    """How this installation is started; in a container, the one that is on its PATH."""
    if slurm.container:
        return "geo-nemo"
    script = Path(sys.executable).with_name("geo-nemo")
    return shlex.join([str(script)] if script.is_file() else [sys.executable, "-m", "geo_nemo"])


def _site(ask: Ask) -> list[str]:
    names = (("partition", ask.partition), ("account", ask.account), ("qos", ask.qos))
    return [f"--{key}={value}" for key, value in names if value]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
