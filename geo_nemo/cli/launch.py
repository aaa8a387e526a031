"""`geo-nemo launch`: submit a training or a tuning to SLURM, with the jobs before and after it.

Everything that can be known beforehand is checked before anything is submitted.
"""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from geo_nemo.cli.options import DryRun, Recipes
from geo_nemo.common.errors import StorageError
from geo_nemo.common.log import logger
from geo_nemo.config import UserError
from geo_nemo.config.launch import Launch as LaunchConfig
from geo_nemo.config.load import load_config
from geo_nemo.config.sweep import check_apart, expand
from geo_nemo.config.tune import Tune, load_tune
from geo_nemo.config.whole import as_yaml, differences, whole_config
from geo_nemo.launch.chain import chain_jobs, check_chain, check_prep, read_chain
from geo_nemo.launch.checks import check_slurm, check_training, split_words
from geo_nemo.launch.claims import claimed, record_job
from geo_nemo.launch.cluster import check_cluster
from geo_nemo.launch.jobs import (
    Launch,
    job_environment,
    scripts_dir,
    settings_folder,
    submit,
    training_job,
    tuning_job,
    withdraw,
)
from geo_nemo.launch.tuning import check_tuning

LOG = logger(__name__)


@click.command(
    epilog="Example: geo-nemo launch slurm=nodes4 slurm.partition=gpu "
    "experiment=localization/1b_global_with data.store=/data/news/store output_dir=/runs/global\n\n"
    "A tuning: geo-nemo launch --tune /runs/a-hf slurm=node tuning=localization "
    "data=/data/instructions.jsonl output=/runs/tuned"
)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@Recipes
@click.option(
    "--tune",
    metavar="MODEL",
    help="Tune MODEL in place of a training; the settings are those of geo-nemo tune.",
)
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
    tune: str | None,
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
    Settings and logs of the jobs are in OUTPUT_DIR/slurm, with --tune in OUTPUT.job/slurm.
    """
    own, settings = divide(overrides)
    slurm = load_config("launch", LaunchConfig, own).slurm
    if multirun and runs:
        raise click.UsageError("give --multirun or --runs")
    if tune is not None and (multirun or runs or prep):
        raise click.UsageError("--tune takes no --runs, --multirun, --prep: launch each by itself")
    lines = _lines(runs) if runs else [[]]
    trainings = expand(settings) if multirun else [(*settings, *line) for line in lines]
    check_slurm(slurm)
    chain = read_chain(prep, evaluate, report)
    waits = after is not None
    if tune is not None:
        tuning = load_tune("tune", tune, settings)
        check_tuning(slurm, tuning, waits)
        outputs = [tuning.output]
        main = tuning_job(slurm, tuning)
    else:
        if chain.prep is not None:
            check_prep(slurm, chain.prep)
        checked = [check_training(slurm, training, chain.store, waits) for training in trainings]
        outputs = [run.output_dir for run in checked]
        check_apart(runs or "--multirun", outputs)
        is_array = runs is not None or multirun
        main = training_job(slurm, "array" if is_array else checked[0].name, checked, is_array)
    check_chain(slurm, chain, trained=outputs, waits=waits)
    before, behind = chain_jobs(slurm, chain)
    jobs = [*before, main, *behind]
    scripts = scripts_dir()
    environment = job_environment(slurm, scripts)
    held = [(job.command, job.configs, job.outputs, job.stores, job.partials) for job in jobs]
    folder = settings_folder(main.outputs, (environment, held))
    launch = Launch(folder, scripts, environment, jobs)
    check_cluster([job.ask for job in jobs])
    if dry_run:
        show(launch, after)
        if tune is not None:
            show_tuning(tuning)
        else:
            show_configs(trainings)
        return 0
    if shutil.which("sbatch") is None:
        raise UserError("there is no sbatch here: run this on a login node of the cluster")
    for name, number in submit_all(launch, after).items():
        click.echo(f"{name} {number}")
    return 0


def submit_all(launch: Launch, after: str | None) -> dict[str, str]:
    """Submit the jobs, each behind the one before it; numbers by name. All of them, or none."""
    submitted: dict[str, str] = {}
    claims = [job for job in launch.jobs if job.named]
    named = {o: n for job in claims for o, n in zip(job.outputs, job.named, strict=True)}
    with claimed(named, after):
        launch.write()
        try:
            for job in launch.jobs:
                after = submitted[job.name] = submit(job, launch, after)
            numbers = list(submitted.values())
            for job in claims:
                number = submitted[job.name]
                record_job(job.outputs, number, numbers[numbers.index(number) + 1 :])
        except UserError as error:
            kind = StorageError if isinstance(error, StorageError) else UserError
            raise kind(f"{error}{withdraw(submitted.values())}") from None
        except BaseException:
            if left := withdraw(submitted.values()):
                LOG.warning(f"the launch was broken off{left}")
            raise
    return submitted


def divide(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The job's settings, and the training's or tuning's."""
    own = [o for o in overrides if o.lstrip("+").partition("=")[0].split(".")[0] == "slurm"]
    return own, [override for override in overrides if override not in own]


def show(launch: Launch, after: str | None) -> None:
    """Print what would be written and submitted."""
    for job in launch.jobs:
        click.echo(f"# {launch.folder}/{job.name}.sh")
        click.echo(launch.settings(job), nl=False)
        click.echo(shlex.join(launch.call(job, after)) + "\n")
        after = f"<{job.name}>"


def show_tuning(config: Tune) -> None:
    """Print the config of the tuning, whole."""
    whole = config.model_dump(mode="json")
    click.echo(f"# the tuning's config: {config.output}\n{as_yaml(whole)}", nl=False)


def show_configs(trainings: Sequence[Sequence[str]]) -> None:
    """Print the config of the first training, whole, and in what each other one differs from it."""
    first, *others = map(whole_config, trainings)
    run = f", run 0 of {len(trainings)}" if others else ""
    click.echo(f"# the training's config{run}: {first['output_dir']}\n{as_yaml(first)}", nl=False)
    for number, other in enumerate(others, 1):
        click.echo(f"\n# run {number} of {len(trainings)}, where it differs: run 0 | run {number}")
        for line in differences(first, other):
            click.echo(line)


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
