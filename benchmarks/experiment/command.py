"""`python -m benchmarks experiment NAME`: trains, evaluates, pools seeds, gives a verdict."""

import sys
from pathlib import Path

import click

from benchmarks.experiment.before import prepared
from benchmarks.experiment.evaluation import check_evaluation
from benchmarks.experiment.figures import (
    ROOT,
    add_line,
    check_evaluated,
    check_lines,
    check_same_documents,
    check_settings,
    check_writable,
    code_commit,
    line_of,
    of_plan,
    read_lines,
)
from benchmarks.experiment.plan import Planned, plan_runs
from benchmarks.experiment.schema import CORPUS, FOLDER, Experiment, read_experiment
from benchmarks.experiment.standing import check_standing, note_code
from benchmarks.experiment.work import (
    Processes,
    make_store,
    mistakes_told,
    needed,
    stoppable,
    work_off,
)
from geo_nemo.common.files import read_json
from geo_nemo.store import TokenStore

# Folder of plots beside the page.
PLOTS = "experiments"
_file = click.Path(dir_okay=False, path_type=Path)


@click.command(epilog="Example: python -m benchmarks experiment cooldown --at-once 2")
@click.argument("name", metavar="NAME")
@click.option("--at-once", default=1, show_default=True, type=click.IntRange(1, 64),
              help="Runs that go on at once; the cores are shared out among them.")  # fmt: skip
@click.option("--work", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of stores and runs; runs/experiments/NAME.")  # fmt: skip
@click.option("--results", type=_file, help="Figures; benchmarks/experiments/NAME.jsonl, of "
              "a file of your own NAME.jsonl here.")  # fmt: skip
@click.option("--page", type=_file, help="Receives the section; docs/experiments.md, of a file of "
              "your own NAME.md here.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(2), help="Only the first so many seeds of the file.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Make what is made before the runs, check, measure a few steps, tell how long.",
)
def command(
    name: str,
    at_once: int,
    work: Path | None,
    results: Path | None,
    page: Path | None,
    seeds: int | None,
    dry_run: bool,
) -> int:
    """Run an experiment: NAME of benchmarks/experiments, or a YAML file of your own.

    Stopped at any point, the same command goes on from there.
    """
    given = name
    name, experiment = read_experiment(given)
    if seeds is not None:
        experiment = experiment.model_copy(update={"seeds": experiment.seeds[:seeds]})
    own_results, own_page = places_of(given, name)
    results, page = results or own_results, page or own_page
    work = work or Path("runs") / "experiments" / name
    processes = Processes(at_once)
    with stoppable(work, processes):
        return _run(name, experiment, at_once, work, results, page, processes, dry_run)


def places_of(given: str, name: str) -> tuple[Path, Path]:
    """Where figures and section of an experiment are by default: of the project's own beside its
    file and on the project's page; of another one, whatever its name is, where the command is."""
    own = FOLDER / f"{name}.yaml"
    if given == name or Path(given).resolve() == own.resolve():
        return own.with_suffix(".jsonl"), ROOT / "docs" / "experiments.md"
    return Path(f"{name}.jsonl"), Path(f"{name}.md")


def _run(
    name: str,
    experiment: Experiment,
    at_once: int,
    work: Path,
    results: Path,
    page: Path,
    processes: Processes,
    dry_run: bool,
) -> int:
    from benchmarks.experiment import timing

    for file in (results, page):
        check_writable(file)
    commit, lines = code_commit(), read_lines(results)
    with mistakes_told():
        given = experiment.store
        store = Path(given) if given else make_store(experiment.corpus, work / CORPUS, processes)
        opened = TokenStore.open(store)
        check_evaluation(experiment, opened)
        check_lines(results, lines, commit, opened.hash)
        written = experiment  # what is told of it has `{before}` and `{store}` as in its file
        experiment = prepared(experiment, work, opened, processes)
    planned = plan_runs(experiment, store, work)
    check_settings(results, lines, planned)
    lines = of_plan(lines, planned)
    check_evaluated(results, lines, experiment)
    done = {(line["run"], line["seed"]) for line in lines}
    begun = [planned[number] for number in sorted(needed(planned, done))]
    check_standing(begun, commit)
    left = [run for run in planned if (run.name, run.seed) not in done]
    shared = sum(run.branch.step for run in left if run.branch)
    click.echo(f"{name}: {len(planned)} runs, {len(planned) - len(left)} finished; "
               f"{sum(run.steps for run in left):,} steps to train, {shared:,} shared")  # fmt: skip
    if left:
        click.echo("measuring some steps and an evaluation")
        with mistakes_told():
            measured = timing.measure(experiment, planned, store, work, processes)
        whole = timing.words(measured.of(left, at_once))
        click.echo(f"about {whole}: {measured.step:.2f} s a step, "
                   f"{timing.words(measured.start)} a start, "
                   f"{timing.words(measured.evaluation)} an evaluation")  # fmt: skip
    if dry_run:
        return 0
    note_code(begun, commit)

    def finished(run: Planned, evaluation: dict, seconds: dict[str, float]) -> None:
        record = read_json(run.folder / "run.json", "train the run again")
        facts = {"commit": commit, "seconds": seconds, "parameters": record["parameters"]}
        add_line(results, line_of(name, written, run, evaluation, **facts))
        click.echo(f"{run.title}: {' + '.join(f'{k} {v:.0f} s' for k, v in seconds.items())}")
        sys.stdout.flush()

    try:
        work_off(planned, store, experiment.evaluation, done, processes, at_once, finished)
    finally:
        _tell(name, written, planned, results, page)
    return 0


def _tell(
    name: str, experiment: Experiment, planned: list[Planned], results: Path, page: Path
) -> None:
    """Write section and plot of what is finished, and print the verdicts."""
    from benchmarks.experiment.page import put, section
    from benchmarks.experiment.plots import draw_all
    from benchmarks.experiment.verdict import Figures, judge

    lines = of_plan(read_lines(results), planned)
    if not lines:
        return
    check_same_documents(lines)
    figures = Figures(experiment, lines)
    found = [judge(claim, figures) for claim in experiment.claims]
    drawn = draw_all(experiment, lines, page.parent / PLOTS, name)
    plots = {f"{PLOTS}/{file}": shows for file, shows in drawn.items()}
    put(page, name, section(name, experiment, planned, lines, found, plots))
    for each in found:
        click.echo(f"{each.verdict}: {each.claim.says}")
    click.echo(str(page))
