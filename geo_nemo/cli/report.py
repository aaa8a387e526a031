"""`geo-nemo report`: one HTML page of an evaluation."""

import click
from rich.console import Console

from geo_nemo.cli.options import OVERRIDES, Config, DryRun


@click.command(epilog="Example: geo-nemo report eval=runs/eval output=runs/report.html")
@OVERRIDES
@DryRun
@Config
def command(overrides: tuple[str, ...], dry_run: bool, config: str | None) -> None:
    """Write one self-contained HTML page, and print its headline.

    Settings: eval (output folder of geo-nemo eval), output (the page), title, sample_row;
    runs.NAME=DIR and store where they were moved since.
    """
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
