"""`geo-nemo report`: one HTML page of an evaluation."""

from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console

from geo_nemo.cli.options import OVERRIDES, Config, DryRun


@click.command(epilog="Example: geo-nemo report eval=runs/eval output=runs/report.html")
@OVERRIDES
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    type=click.Path(path_type=Path),
    help="Print two evaluations side by side, as Markdown, in place of a page.",
)
@click.option(
    "--pool",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Print differences pooled over evaluations of a training seed each; give one a seed.",
)
@DryRun
@Config
def command(
    overrides: tuple[str, ...],
    compare: tuple[Path, Path] | None,
    pool: tuple[Path, ...],
    dry_run: bool,
    config: str | None,
) -> None:
    """Write one self-contained HTML page with its figures as CSV, JSON and Markdown beside it.

    Settings: eval (output folder of geo-nemo eval), output (the page), title, sample_sequence;
    runs.NAME=DIR and store where they were moved since.
    """
    others = {"--pool": pool, "--dry-run": dry_run, "--config": config}
    if compare is not None:
        _check_alone("--compare", others)
        _compare(compare, overrides)
        return
    if pool:
        _check_alone("--pool", {**others, "--pool": None})
        _pool(pool, overrides)
        return
    from eval.config import ReportConfig
    from eval.report import console as shown
    from eval.report.inputs import read_inputs
    from eval.report.page import write_report
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.config.load import load_config

    settings = load_config(config or "report", ReportConfig, overrides)
    if dry_run:
        inputs = read_inputs(settings)
        click.echo(f"runs: {', '.join(inputs.runs)}")
        click.echo(f"output: {settings.output}")
        return
    with progress_bar() as progress:
        inputs = write_report(settings, progress)
    Console(highlight=False).print(shown.headline(inputs.evaluation))
    click.echo(settings.output)


def _check_alone(option: str, others: Mapping[str, object]) -> None:
    from geo_nemo.config import UserError

    for name, value in others.items():
        if value:
            raise UserError(f"{option} prints a table in place of a page: leave {name} out")


def _compare(folders: tuple[Path, Path], overrides: tuple[str, ...]) -> None:
    from eval.report.beside import compare
    from eval.report.inputs import read_evaluation
    from geo_nemo.config import UserError

    if overrides:
        raise UserError(f"--compare takes two folders of geo-nemo eval, and no {overrides[0]}")
    first, second = map(read_evaluation, folders)
    names = tuple(folder.name for folder in folders)
    if names[0] == names[1]:
        names = tuple(map(str, folders))
    click.echo(compare(first, second, names))


def _pool(folders: tuple[Path, ...], overrides: tuple[str, ...]) -> None:
    from eval.pooled import markdown, pool
    from eval.report.inputs import read_evaluation
    from geo_nemo.config import UserError

    if overrides:
        raise UserError(f"--pool takes folders of geo-nemo eval, and no {overrides[0]}")
    twice = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if twice:
        raise UserError(f"--pool {twice[0]} is given twice: give one evaluation a seed")
    found = {str(folder): read_evaluation(folder) for folder in folders}
    click.echo(markdown(pool(found), list(found)))
