"""`python -m benchmarks gpu_report`: prepare a folder here, run it where the GPU is."""

from pathlib import Path

import click

from benchmarks.gpu_report.prepare import LIMIT_MIB, prepare
from benchmarks.gpu_report.run import run
from benchmarks.gpu_report.stages import stages
from geo_nemo.common.errors import UserError

Folder = click.Path(file_okay=False, path_type=Path)


@click.group(epilog="Example: python -m benchmarks gpu_report prepare .gpu-report")
def command() -> None:
    """Tests and speeds on a GPU that is lent for minutes, on a machine without a network."""


@command.command("prepare", epilog="Example: python -m benchmarks gpu_report prepare .gpu-report")
@click.argument("folder", type=Folder)
@click.option("--without", multiple=True, metavar="PACKAGE", help="The machine has it.")
def prepare_command(folder: Path, without: tuple[str, ...]) -> None:
    """Fetch to FOLDER wheels for Python 3.12, and Transformer Engine for Hopper alone."""
    sizes = prepare(folder, without)
    for name, size in sizes.items():
        click.echo(f"{size:8.1f} MiB  {name}")
    click.echo(f"{sum(sizes.values()):8.1f} MiB of {LIMIT_MIB} in {folder}")


@command.command("run", epilog="Example: python -m benchmarks gpu_report run .gpu-report --out out")
@click.argument("folder", type=Folder)
@click.option("--out", type=Folder, default=Path("gpu-report"), show_default=True)
@click.option("--site", type=Folder, default=Path("/tmp/geo-nemo-site"), show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0.1), default=9.0, show_default=True,
              help="For all stages together.")  # fmt: skip
@click.option("--dry", is_flag=True, help="On the emulated device: that every stage starts.")
def run_command(folder: Path, out: Path, site: Path, minutes: float, dry: bool) -> int:
    """Go through the stages; report.json, report.md and a log of each go to --out.

    Exits with 1 where a stage failed or was cut off.
    """
    if not dry and not (folder / "wheels").is_dir():
        raise UserError(f"{folder} has no wheels: python -m benchmarks gpu_report prepare {folder}")
    out = out.resolve()
    outcomes = run(stages(folder.resolve(), site, out), site, out, minutes * 60, dry)
    click.echo((out / "report.md").read_text())
    return int(any(each.status in ("failed", "timed out") for each in outcomes))
