"""NeMo-Run: every experiment as a factory of one entry point, and executors for it.

    nemo geo train --factory localization__1b_global_with \\
        'settings=["data.store=/data/store","output_dir=/runs/a"]' \\
        run.executor=geo_slurm run.executor.account=A run.executor.nodes=4 --dryrun --yes

What runs is `geo-nemo train` with the same settings, or with trainer=nemo NeMo's `llm.pretrain`.
"""

import re
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from geo_nemo.integrations.missing import need

need("nemo_run", "nemo-run", "nemo-run")

import nemo_run as run  # noqa: E402

from geo_nemo.config import Run, UserError  # noqa: E402
from geo_nemo.config.launch import Launch, Slurm, is_walltime, walltime_minutes  # noqa: E402
from geo_nemo.config.load import load_config  # noqa: E402
from geo_nemo.config.recipe_files import group_names  # noqa: E402
from geo_nemo.config.whole import as_yaml, whole_config  # noqa: E402

NAMESPACE = "geo"
Trainer = Literal["geo_nemo", "nemo"]


def experiments() -> list[str]:
    """Names of the experiments in the recipes, as in experiment=NAME."""
    return [name for name in group_names("experiment") if Path(name).name != "base"]


def task(
    settings: Sequence[str],
    trainer: Trainer = "geo_nemo",
    num_nodes: int = 1,
    devices: int = 1,
    executor: run.Executor | None = None,
    python: str = "python",
) -> run.Script | run.Partial:
    """What an executor runs: `python -m geo_nemo train SETTINGS`, or NeMo's `llm.pretrain`.

    num_nodes, devices: for trainer=nemo. executor: that runs it, for a shell on the way takes words
    apart. python: of the place where it runs; a container has its own. Raises UserError where the
    settings do not make a run.
    """
    load_config("train", Run, settings)
    if trainer == "nemo":
        from geo_nemo.integrations.nemo import recipe

        return recipe(settings, num_nodes=num_nodes, devices=devices)
    if trainer != "geo_nemo":
        raise UserError(f"trainer={trainer}: there are geo_nemo and nemo")
    words = [quoted(word, executor) for word in ("train", *settings)]
    return run.Script(path="geo_nemo", m=True, entrypoint=quoted(python, executor), args=words)


def quoted(word: str, executor: run.Executor | None) -> str:
    """The word so that it arrives whole: all executors but the local one put words into a shell.

    NeMo-Run quotes what torchrun gets, for a shell, whatever the executor. Raises UserError for a
    word that this changes.
    """
    if executor is None:
        return word
    is_local = isinstance(executor, run.LocalExecutor)
    is_docker = isinstance(executor, run.DockerExecutor)
    if isinstance(executor.get_launcher(), run.Torchrun | run.FaultTolerance):
        if (is_local and shlex.quote(word) != word) or (is_docker and "'" in word):
            raise UserError(
                f"{word}: NeMo-Run's torchrun would change it on its way; leave "
                + ("blanks, brackets and quotation marks" if is_local else "single quotes")
                + " out, or use torchrun -m geo_nemo train"
            )
    elif not is_local:
        word = shlex.quote(word)
    # It becomes a part of bash -c "...", which Docker's library takes apart before bash does.
    return re.sub(r'[\\"]', r"\\\g<0>", word) if is_docker else word


def local(processes: int = 1) -> run.LocalExecutor:
    """Processes on this machine, started by torchrun."""
    return run.LocalExecutor(ntasks_per_node=processes, launcher="torchrun")


def docker(image: str, gpus: int = 0, volumes: Sequence[str] = ()) -> run.DockerExecutor:
    """A container of `image` on this machine: a process a GPU, one without GPUs.

    volumes: HOST:CONTAINER; those of the store and the output.
    """
    return run.DockerExecutor(
        container_image=image,
        num_gpus=gpus or None,
        ntasks_per_node=max(gpus, 1),
        ipc_mode="host",
        volumes=list(volumes),
        packager=run.Packager(),
        launcher="torchrun",
    )


def slurm(settings: Sequence[str] = ()) -> run.SlurmExecutor:
    """A job as `geo-nemo launch` would ask for it; SETTINGS are its slurm settings.

    A task a process, which `geo-nemo train` joins by srun's variables. NeMo-Run requeues no job and
    checks no node: `geo-nemo launch` does (docs/slurm.md).
    """
    job = load_config("launch", Launch, settings).slurm
    _refuse_unserved(job)
    return run.SlurmExecutor(**_of_slurm(job), tunnel=run.LocalTunnel(job_dir=""))


def _of_slurm(job: Slurm) -> dict[str, Any]:
    return dict(
        account=job.account,
        partition=job.partition,
        qos=job.qos,
        nodes=job.nodes,
        ntasks_per_node=job.tasks_per_node,
        gpus_per_node=job.gpus_per_node or None,
        cpus_per_task=job.cpus_per_task,
        mem=job.memory,
        time=job.time,
        exclusive=job.exclusive or None,
        signal=f"TERM@{job.signal_seconds}",
        container_image=job.container,
        container_mounts=list(job.mounts),
        packager=run.Packager(),
    )


def _refuse_unserved(job: Slurm) -> None:
    own = {
        "slurm.env_file": job.env_file is not None,
        "slurm.sbatch": bool(job.sbatch),
        "slurm.at_once": job.at_once is not None,
        "slurm.runtime": job.runtime == "apptainer",
    }
    for key, given in own.items():
        if given:
            raise UserError(f"{key} is served by geo-nemo launch, not by NeMo-Run: leave it out")
    if job.account is None:
        raise UserError("NeMo-Run names a job after its account: add slurm.account=...")


@run.cli.factory
def geo_local() -> run.Config[run.LocalExecutor]:
    """run.executor=geo_local run.executor.ntasks_per_node=2."""
    return run.Config(run.LocalExecutor, ntasks_per_node=1, launcher="torchrun")


@run.cli.factory
def geo_docker() -> run.Config[run.Executor]:  # the only type of which `nemo` finds one of Docker's
    """run.executor=geo_docker run.executor.container_image=IMAGE run.executor.num_gpus=8.

    And run.executor.ntasks_per_node=8, a process a GPU, run.executor.volumes='["/data:/data"]'.
    """
    return run.Config(
        run.DockerExecutor,
        container_image="geo-nemo:gpu",
        ipc_mode="host",
        packager=run.Config(run.Packager),
        launcher="torchrun",
    )


@run.cli.factory
def geo_slurm() -> run.Config[run.SlurmExecutor]:
    """run.executor=geo_slurm run.executor.account=A run.executor.nodes=4."""
    settings = _of_slurm(Slurm()) | {"packager": run.Config(run.Packager)}
    tunnel = run.Config(run.LocalTunnel, job_dir="")
    return run.Config(run.SlurmExecutor, **settings, tunnel=tunnel)


@run.cli.entrypoint(namespace=NAMESPACE, type="experiment", enable_executor=True)
def train(
    ctx: run.cli.RunContext,
    experiment: str = "demo",
    settings: list[str] = [],  # noqa: B006 - NeMo-Run's parser knows lists and no tuples
    trainer: str = "geo_nemo",
    num_nodes: int = 1,
    devices: int = 1,
):
    """Train an experiment of the recipes by this executor; settings are key=value words."""
    whole = [f"experiment={experiment}", *settings]
    name = f"geo-{experiment.replace('/', '-')}"
    executor = ctx.executor or local()
    python = "python"
    if isinstance(executor, run.SlurmExecutor):
        _check_job(executor)
        # A job's PATH need not be this shell's.
        python = "python" if executor.container_image else sys.executable
    with run.Experiment(name, executor=executor) as made:
        made.add(task(whole, trainer, num_nodes, devices, executor, python), name=name)
        if ctx.dryrun:
            # NeMo-Run shows the words that it was given; plain, so that nothing is wrapped.
            print(f"# the training's config\n{as_yaml(whole_config(whole))}", end="", flush=True)
        ctx.launch(made)


def _check_job(executor: run.SlurmExecutor) -> None:
    """Raise UserError for a job that NeMo-Run would submit and that could not train."""
    if executor.account is None:
        raise UserError("NeMo-Run names a job after its account: add run.executor.account=...")
    if not is_walltime(str(executor.time)):
        raise UserError(
            f"run.executor.time={executor.time} is no time: give minutes (90), HH:MM:SS or "
            "D-HH:MM:SS"
        )
    before = (executor.signal or "").rpartition("@")[2]
    if before.isdigit() and 60 * walltime_minutes(str(executor.time)) <= int(before):
        raise UserError(
            f"run.executor.time={executor.time} leaves no time to train: the run is told to stop "
            f"{before} seconds before the end (run.executor.signal={executor.signal}); give more"
        )


def _recipe(name: str) -> run.Partial:
    return run.Partial(train, experiment=name)


def factory_name(experiment: str) -> str:
    """The experiment's name as NeMo-Run's grammar takes it: localization__0_5b_africa_with."""
    return experiment.replace("/", "__").replace(".", "_").replace("-", "_")


for _name in experiments():
    run.cli.factory(partial(_recipe, _name), target=train, name=factory_name(_name))
