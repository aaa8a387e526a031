"""`geo-nemo prep`: raw records to a token store, and a table of what was kept and what was not."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from geo_nemo.cli.options import OVERRIDES, DryRun

if TYPE_CHECKING:
    from data_prep.report import PrepReport

EPILOG = "Example: geo-nemo prep input=news.jsonl.gz output=runs/news tokenizer.vocab_size=16000"


@click.command(epilog=EPILOG)
@OVERRIDES
@DryRun
@click.option("--verify", metavar="STORE", help="Check every file of a token store, and stop.")
def command(overrides: tuple[str, ...], dry_run: bool, verify: str | None) -> None:
    """Turn raw records into an annotated corpus and a token store.

    Input is JSON Lines (plain, gzip or zstd) with url, text and, where known, title, country,
    continent, id and date. Settings: input, output, countries, outlets, tokenizer.path,
    tokenizer.vocab_size, splits.*, seed, max_line_bytes, shard_documents.
    """
    from data_prep.narrow_config import Prep
    from data_prep.prepare import plan, prepare
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.config.load import load_config

    if verify is not None:
        if overrides or dry_run:
            raise click.UsageError("--verify STORE goes alone")
        _verify(verify)
        return
    config = load_config("prep", Prep, overrides)
    if dry_run:
        for topic, line in plan(config).items():
            click.echo(f"{topic}: {line}")
        return
    with progress_bar() as progress:
        report = prepare(config, progress)
    print_report(report, Console())


def _verify(path: str) -> None:
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.store import TokenStore

    store = TokenStore.open(Path(path))
    with progress_bar() as progress:
        size = store.verify(progress)
    documents = sum(split.documents for split in store.manifest.splits.values())
    click.echo(f"{path}: whole, {documents:,} documents, {size:,} bytes, hash {store.hash}")


def print_report(report: "PrepReport", console: Console) -> None:
    """The tables of a preparation, then the paths of what it made."""
    console.print(_records(report))
    console.print(_countries(report))
    for name, stage in report.stages.items():
        console.print(f"{name}: {'kept as it was' if stage.reused else f'{stage.seconds:.1f} s'}")
    if report.megabytes_per_second is not None:
        text = report.text_bytes / 1e6
        console.print(f"{text:.1f} MB of records, {report.megabytes_per_second:.1f} MB/s in all")
    if report.quarantine:
        click.echo(f"quarantine: {report.quarantine_file}")
    click.echo(f"store: {report.store} (hash {report.store_hash})")


def _records(report: "PrepReport") -> Table:
    from data_prep.quarantine import REASONS

    table = Table(title="Records", title_justify="left")
    table.add_column("")
    table.add_column("records", justify="right")
    table.add_column("meaning")
    table.add_row("read", f"{report.read:,}", "")
    table.add_row("kept", f"{report.kept:,}", _evidence(report))
    for reason, count in sorted(report.quarantine.items(), key=lambda item: -item[1]):
        table.add_row(reason, f"{count:,}", REASONS[reason], style="yellow")
    return table


def _evidence(report: "PrepReport") -> str:
    names = {
        "field": "its field",
        "outlet": "the outlet table",
        "domain": "its national domain",
        "likely": "its .gov, .mil or .edu",
    }
    parts = [f"{names[key]} {count:,}" for key, count in report.evidence.items()]
    line = "country by " + ", ".join(parts)
    if report.continents_replaced:
        line += f"; {report.continents_replaced:,} named a border country's other continent"
    return line


def _countries(report: "PrepReport") -> Table:
    table = Table(title="Documents and tokens", title_justify="left")
    table.add_column("country")
    table.add_column("continent")
    for name in report.splits:
        table.add_column(name, justify="right")
    table.add_column("tokens", justify="right")
    for country, continent in sorted(report.continents.items(), key=lambda item: item[::-1]):
        entries = [split.by_country.get(country) for split in report.splits.values()]
        tokens = sum(entry.tokens for entry in entries if entry)
        counts = [f"{entry.documents if entry else 0:,}" for entry in entries]
        table.add_row(country, continent, *counts, f"{tokens:,}")
    table.add_section()
    totals = [f"{split.documents:,}" for split in report.splits.values()]
    tokens = sum(split.tokens for split in report.splits.values())
    table.add_row("all", "", *totals, f"{tokens:,}")
    return table
