"""`python -m benchmarks law`: fits the law on finished runs, tests and writes it down."""

from pathlib import Path

import click

from benchmarks.experiment.figures import ROOT
from benchmarks.experiment.page import put
from benchmarks.experiment.schema import FOLDER
from benchmarks.law.page import NAME, PLOT, draw, laws_of, section, tables
from benchmarks.law.rows import read_rows


@click.command(epilog="Example: python -m benchmarks law --page law.md")
@click.option("--results", type=click.Path(file_okay=False, path_type=Path), default=FOLDER,
              help="Folder of finished runs; benchmarks/experiments.")  # fmt: skip
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path),
              help="Receives the section; docs/experiments.md.")  # fmt: skip
def command(results: Path, page: Path | None) -> int:
    """How deficit and gain move with dropout, cooldown, tokens and parameters.

    Trains nothing: its runs are of `experiment small_sizes`, `no_labels`, `confirm`, `decide`,
    `demo_size`, `longer`, `longer_confirm`, `larger` and `largest`.
    """
    rows = read_rows(results)
    laws = laws_of(rows)
    shown = tables(rows, laws)
    for table in shown:
        click.echo(table + "\n")
    page = page or ROOT / "docs" / "experiments.md"
    draw(rows, laws, page.parent / "experiments" / PLOT)
    put(page, NAME, section(rows, laws, shown))
    click.echo(str(page))
    return 0
