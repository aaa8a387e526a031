"""`geo-nemo launch`: submit a training to SLURM, with preparation before and evaluation after it.

Everything that can be known beforehand is checked before anything is submitted.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from geo_nemo.cli.launch_chain import check_chain, check_prep, read_chain
from geo_nemo.cli.launch_checks import check_slurm, check_training, split_words
from geo_nemo.cli.options import DryRun
from geo_nemo.config import UserError
from geo_nemo.config.files import make_folder, write_whole
from geo_nemo.config.launch import Launch, Slurm
from geo_nemo.config.load import load_config
from geo_nemo.config.sweep import check_apart, expand
from geo_nemo.config.whole import as_yaml, differences, whole_config

# Of a job that shares its node.
GIB_PER_CPU = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One call of sbatch. options: sbatch's. arguments: the script's."""

    name: str
    script: str
    options: tuple[str, ...]
    arguments: tuple[str, ...]


@click.command(
    epilog="Example: geo-nemo launch slurm=nodes4 slurm.partition=gpu "
    "experiment=localization/1b_global_with data.store=/data/news/store output_dir=/runs/global"
)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--runs", metavar="FILE", help="An array: a line of settings a run, added to these.")
@click.option(
    "--multirun",
    is_flag=True,
    help="An array: a run for each combination of KEY=A,B, below output_dir.",
)
@click.option("--after", metavar="JOB", help="Start when this job has ended well.")
@click.option("--prep", metavar="SETTINGS", help="First a job of geo-nemo prep run SETTINGS.")
@click.option(
    "--eval", "evaluate", metavar="SETTINGS", help="Then a job of geo-nemo eval SETTINGS."
)
@click.option("--report", metavar="SETTINGS", help="Then a job of geo-nemo report SETTINGS.")
@DryRun
def command(
    overrides: tuple[str, ...],
    runs: str | None,
    multirun: bool,
    after: str | None,
    prep: str | None,
    evaluate: str | None,
    report: str | None,
    dry_run: bool,
) -> int:
    """Submit a training to SLURM; it saves, is requeued and goes on until it is finished.

    Settings that begin with slurm are the job's (slurm=node, slurm.time=12:00:00; docs/slurm.md
    lists them), the others the training's. Prints a line for each job: its name and its number.
    """
    own, settings = divide(overrides)
    slurm = load_config("launch", Launch, own).slurm
    if multirun and runs:
        raise click.UsageError("give --multirun or --runs")
    lines = _lines(runs) if runs else [[]]
    trainings = expand(settings) if multirun else [(*settings, *line) for line in lines]
    check_slurm(slurm)
    chain = read_chain(prep, evaluate, report)
    if chain.prep is not None:
        check_prep(slurm, chain.prep)
    outputs = []
    for training in trainings:
        run = check_training(slurm, training, chain.store, waits=after is not None)
        outputs.append(run.output_dir)
    check_apart(runs or "--multirun", outputs)
    check_chain(slurm, chain, trained=outputs, waits=after is not None)
    folder = scripts_dir()
    jobs = []
    if prep is not None:
        jobs.append(_other(slurm, "prep", ("prep", "run", *split_words("--prep", prep))))
    is_array = runs is not None or multirun
    array = Path(f"{Path(runs).resolve()}.d") if runs else _folder_of(run.output_dir, trainings)
    arguments = trainings[0]
    options = training_options(slurm, f"geo-nemo-{'array' if is_array else run.name}")
    if is_array:
        arguments = ("--runs", str(array))
        at_once = f"%{slurm.at_once}" if slurm.at_once else ""
        options = (*options, f"--array=0-{len(trainings) - 1}{at_once}")
    jobs.append(Job("train", "train.sbatch", options, arguments))
    if evaluate is not None:
        words = split_words("--eval", evaluate)
        jobs.append(_other(slurm, "eval", ("eval", *words), slurm.gpus_per_node > 0))
    if report is not None:
        jobs.append(_other(slurm, "report", ("report", *split_words("--report", report))))
    environment = job_environment(slurm, folder)
    if dry_run:
        show(jobs, environment, folder, after)
        show_configs(trainings)
        return 0
    if shutil.which("sbatch") is None:
        raise UserError("there is no sbatch here: run this on a login node of the cluster")
    if is_array:
        _write_runs(array, trainings)
    submitted: dict[str, str] = {}
    for job in jobs:
        try:
            after = submitted[job.name] = submit(job, environment, folder, after)
        except UserError as error:
            raise UserError(f"{error}{_withdraw(submitted.values())}") from None
    for name, number in submitted.items():
        click.echo(f"{name} {number}")
    return 0


def divide(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The job's settings and the training's."""
    own = [o for o in overrides if o.lstrip("+").partition("=")[0].split(".")[0] == "slurm"]
    return own, [override for override in overrides if override not in own]


def scripts_dir() -> Path:
    """The folder of job scripts: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "slurm", package.parent / "slurm"):
        if (folder / "train.sbatch").is_file():
            return folder
    raise UserError(f"no folder slurm beside {package}: reinstall geo-nemo")


def training_options(slurm: Slurm, name: str) -> tuple[str, ...]:
    """sbatch's options for a training; they go before those in the script."""
    options = [
        f"--job-name={name}",
        f"--nodes={slurm.nodes}",
        f"--ntasks-per-node={slurm.tasks_per_node}",
        f"--gpus-per-node={slurm.gpus_per_node}",
        f"--cpus-per-task={slurm.cpus_per_task}",
        f"--time={slurm.time}",
        f"--signal=B:USR1@{slurm.signal_seconds}",
    ]
    # The script asks for the whole node; to share one, its memory must not be asked for whole. By
    # --mem, as in the script: sbatch refuses it beside --mem-per-cpu.
    memory = GIB_PER_CPU * slurm.cpus_per_task * slurm.tasks_per_node
    options += ["--exclusive"] if slurm.exclusive else ["--oversubscribe", f"--mem={memory}G"]
    return (*options, *_site(slurm))


def job_environment(slurm: Slurm, folder: Path) -> dict[str, str]:
    """The GEO_NEMO_ variables of a job; secrets are none of them."""
    given = {
        "GEO_NEMO_SLURM": str(folder),
        "GEO_NEMO_COMMAND": slurm.command,
        "GEO_NEMO_GPUS": str(slurm.gpus_per_node),
        "GEO_NEMO_CHECKS": " ".join(slurm.checks),
        "GEO_NEMO_RESTARTS": str(slurm.restarts),
        "GEO_NEMO_REQUEUES": str(slurm.requeues),
        "GEO_NEMO_DRAIN": "1" if slurm.drain else "0",
        "GEO_NEMO_CONTAINER": slurm.container,
        "GEO_NEMO_RUNTIME": slurm.runtime,
        "GEO_NEMO_MOUNTS": ",".join(slurm.mounts),
        "GEO_NEMO_ENV_FILE": slurm.env_file,
        "GEO_NEMO_MIN_BUSBW": f"{slurm.min_busbw:g}" if slurm.min_busbw else None,
    }
    return {key: value for key, value in given.items() if value}


def submit(job: Job, environment: dict[str, str], folder: Path, after: str | None) -> str:
    """The number of the job that sbatch takes."""
    done = subprocess.run(
        _call(job, folder, after),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    number = done.stdout.strip().partition(";")[0]
    if done.returncode or not number.isdigit():
        said = " ".join((done.stderr or done.stdout).split())
        raise UserError(f"sbatch refused the job {job.name}: {said[:300]}")
    return number


def _withdraw(numbers: Collection[str]) -> str:
    """Cancel the jobs of a chain that has a link too few; what became of them."""
    if not numbers:
        return ""
    try:
        done = subprocess.run(["scancel", *numbers], capture_output=True)
    except OSError:
        done = None
    if done is None or done.returncode:
        return f"; cancel what was submitted before it: scancel {' '.join(numbers)}"
    return f"; those before it ({' '.join(numbers)}) are cancelled"


def show(jobs: list[Job], environment: dict[str, str], folder: Path, after: str | None) -> None:
    """Print what would be submitted."""
    for key, value in environment.items():
        click.echo(f"export {key}={shlex.quote(value)}")
    for job in jobs:
        click.echo(shlex.join(_call(job, folder, after)))
        after = f"<{job.name}>"


def show_configs(trainings: Sequence[Sequence[str]]) -> None:
    """Print the config of the first training, whole, and in what each other one differs from it."""
    first, *others = map(whole_config, trainings)
    run = f", run 0 of {len(trainings)}" if others else ""
    click.echo(f"\n# the training's config{run}: {first['output_dir']}\n{as_yaml(first)}", nl=False)
    for number, other in enumerate(others, 1):
        click.echo(f"\n# run {number} of {len(trainings)}, where it differs: run 0 | run {number}")
        for line in differences(first, other):
            click.echo(line)


def _call(job: Job, folder: Path, after: str | None) -> list[str]:
    behind = [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"] if after else []
    return ["sbatch", "--parsable", *job.options, *behind, str(folder / job.script), *job.arguments]


def _other(slurm: Slurm, name: str, arguments: tuple[str, ...], gpu: bool = False) -> Job:
    # A partition that ends earlier than the script's day would let the job wait for ever.
    options = (f"--job-name=geo-nemo-{name}", f"--time={slurm.time}")
    options += ("--gpus-per-node=1",) if gpu else ()
    return Job(name, "command.sbatch", (*options, *_site(slurm)), arguments)


def _site(slurm: Slurm) -> tuple[str, ...]:
    names = (("partition", slurm.partition), ("account", slurm.account), ("qos", slurm.qos))
    return (*(f"--{key}={value}" for key, value in names if value), *slurm.sbatch)


def _lines(name: str) -> list[list[str]]:
    """The settings of each run of a file."""
    try:
        text = Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read --runs {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(
            f"--runs {name} is no text: write the settings of each run in a line"
        ) from None
    lines = [
        split_words(f"--runs {name}, line {number}", line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise UserError(f"--runs {name} has no run: write the settings of each in a line")
    return lines


def _folder_of(output: str, trainings: Sequence[Sequence[str]]) -> Path:
    """Beside the runs of a sweep; another sweep into the same folder has a name of its own."""
    told = hashlib.sha256(repr(trainings).encode()).hexdigest()[:8]
    return Path(output).parent / f"sweep-{told}.d"


def _write_runs(folder: Path, trainings: Sequence[Sequence[str]]) -> None:
    make_folder(folder)
    for number, training in enumerate(trainings):
        write_whole(folder / f"{number}.args", "".join(f"{s}\n" for s in training).encode())
