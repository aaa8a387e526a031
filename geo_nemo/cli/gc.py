"""`geo-nemo gc`: list what may go of runs, preparations and caches, ask, and remove it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geo_nemo.cli.units import size_text
from geo_nemo.common.log import logger
from geo_nemo.config import RunError, UserError

LOG = logger(__name__)

if TYPE_CHECKING:
    from geo_nemo.diagnostics.garbage import Garbage


@click.command(epilog="Example: geo-nemo gc runs/a runs/news --dry-run")
@click.argument(
    "folders", nargs=-1, metavar="FOLDER...", type=click.Path(path_type=Path, readable=False)
)
@click.option(
    "--caches", is_flag=True, help="What is made or fetched again when it is asked for, too."
)
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--dry-run", is_flag=True, help="List alone.")
def command(folders: tuple[Path, ...], caches: bool, yes: bool, dry_run: bool) -> None:
    """List what may go with its size, ask, and remove it.

    FOLDER is the output_dir of a training, or a folder of several: saves that were cut short,
    checkpoints beyond what checkpoint.keep_last and keep_best ask for, indices of other settings;
    the output of a preparation: work/, where the store is whole; or a folder of stores: indices of
    geo-nemo trace whose store is gone, or another one by now. With --caches all such indices go,
    and whole stores that were fetched from s3://: without a FOLDER, those alone. The newest whole
    checkpoint stays, and so does everything in a folder that another process writes in, or behind a
    symbolic link. Exits with 1 where something could not be removed, with 2 where a folder is none
    of these or is in use.
    """
    from geo_nemo.diagnostics.garbage import find_garbage, has_text_indices, remove_garbage
    from geo_nemo.diagnostics.status import runs_below
    from geo_nemo.store.remote import default_cache_dir

    if not folders and not caches:
        raise UserError("name a folder, or give --caches for the stores that were fetched")
    chosen = [below for folder in folders for below in runs_below(folder)]
    chosen += [folder for folder in folders if has_text_indices(folder)]
    # Compilers' caches stand there, too, also where no store was fetched.
    if caches and (default_cache_dir() / "stores").is_dir():
        chosen.append(default_cache_dir())
    found: dict[Path, list[Garbage]] = {}
    refused: list[str] = []
    for folder in dict.fromkeys(chosen):
        try:
            found[folder] = find_garbage(folder, caches, LOG.info)
        except UserError as error:
            refused.append(str(error))
    every = [each for of_folder in found.values() for each in of_folder]
    if every:
        show(every, Console(highlight=False))
    elif found or not refused:
        click.echo("nothing is to go")
    if every and not dry_run and (yes or _is_wanted()):
        _remove_all(found, caches, remove_garbage)
    if refused:
        raise UserError("; ".join(refused))


def show(garbage: Sequence["Garbage"], console: Console) -> None:
    """Each with its size and the reason, and the sum."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_footer=True)
    table.add_column("what may go", footer="all", overflow="fold")
    total = size_text(sum(each.bytes for each in garbage))
    table.add_column("frees", footer=total, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for each in garbage:
        table.add_row(escape(str(each.path)), size_text(each.bytes), escape(each.why))
    console.print(table)


def _is_wanted() -> bool:
    if not sys.stdin.isatty():
        raise UserError("nobody is here to ask: give --yes to remove it, or --dry-run")
    return click.confirm("Remove it?", default=False)


def _remove_all(found: dict[Path, list["Garbage"]], caches: bool, remove) -> None:
    freed, count, problems = 0, 0, []
    for folder, garbage in found.items():
        if not garbage:
            continue
        try:
            gone, why_not = remove(folder, garbage, caches)
        except UserError as error:  # it is in use by now
            problems.append(str(error))
            continue
        freed += sum(each.bytes for each in gone)
        count += len(gone)
        problems += why_not
    click.echo(f"removed {count:,}, {size_text(freed)} are free")
    if problems:
        raise RunError("; ".join(problems))
