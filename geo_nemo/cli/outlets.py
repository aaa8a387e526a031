"""`geo-nemo outlets`: check a table of outlets, see what it changes, and ask about a host."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geo_nemo.cli.options import DiskFile
from geo_nemo.common.counts import plural

if TYPE_CHECKING:
    from data_prep.annotate.outlet_changes import Comparison, HostChange

CHANGES = ("new", "other country", "same")
STORE = "store"
ROWS_SHOWN = 100
BY = {
    "outlet": "outlet table",
    "international": "publisher of an international outlet",
    "domain": "national domain",
    "likely": ".gov, .mil or .edu: yields to any other evidence",
    "": "neither outlet table nor domain tells one",
}
ROWS = click.option(
    "--rows",
    default=ROWS_SHOWN,
    show_default=True,
    type=click.IntRange(0),
    help="Rows to print, at most; 0 is all.",
)


@click.group(
    epilog="Example: geo-nemo outlets check my_outlets.csv",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """Check a table of outlets (CSV: host,country), and see what it changes.

    A table goes before the default one where prep is told annotate.outlets=my_outlets.csv. A row
    for bbc.com covers www.bbc.com too.
    """


@command.command(
    short_help="check a table, and what it changes",
    epilog="Example: geo-nemo outlets check my_outlets.csv",
)
@click.argument("table", type=str)
@ROWS
def check(table: str, rows: int) -> None:
    """Check TABLE, and show what each row changes against the default."""
    from data_prep.annotate.outlet_changes import compare
    from data_prep.annotate.outlets import read_table

    compared = compare(read_table(table))
    counts = {name: sum(c.change == name for c in compared) for name in CHANGES}
    changing = [c for c in compared if c.change != "same"]
    if changing:
        Console().print(_comparisons(changing[: rows or None]))
        _say_left_out(len(changing), rows)
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    click.echo(f"{table}: holds, {plural(len(compared), 'row')}: {said}")


@command.command(
    short_help="hosts of a corpus that a table places elsewhere",
    epilog="Example: geo-nemo outlets diff runs/news my_outlets.csv",
)
@click.argument("output", type=str)
@click.argument("table", type=str)
@click.option("--before", metavar="TABLE", help="The table that OUTPUT was prepared with, if any.")
@ROWS
def diff(output: str, table: str, before: str | None, rows: int) -> None:
    """Show which hosts of OUTPUT (of geo-nemo prep, or a store) TABLE gives another country.

    Documents whose record names a country itself keep it where TABLE agrees, and are set aside
    where it does not.
    """
    from data_prep.annotate.outlet_changes import dropped_changes, store_changes
    from data_prep.annotate.outlets import load_outlets
    from geo_nemo.store import TokenStore

    folder = Path(output)
    store = TokenStore.open(folder / STORE if (folder / STORE).is_dir() else folder)
    tables = load_outlets(before), load_outlets(table)
    changes = store_changes(store, *tables) + dropped_changes(folder, *tables)
    documents = sum(sum(change.documents.values()) for change in changes)
    dropped = sum(change.documents.get("dropped", 0) for change in changes)
    if changes:
        Console().print(_host_changes(changes[: rows or None]))
        _say_left_out(len(changes), rows)
    click.echo(
        f"{len(changes):,} of {len(store.hosts):,} hosts would have another country, "
        f"with {plural(documents, 'document')}"
        if not any("dropped" in change.documents for change in changes)
        else f"{plural(len(changes), 'host')} would have another country, with "
        f"{plural(documents, 'document')}, {dropped:,} of them dropped for none"
    )


@command.command(
    short_help="hosts of a corpus that tell no country",
    epilog="Example: geo-nemo outlets missing runs/news --csv my_outlets.csv",
)
@click.argument("output", type=str)
@click.option(
    "--csv",
    "csv_path",
    metavar="FILE",
    type=DiskFile(),
    help="Write all of them as a table to fill in.",
)
@ROWS
def missing(output: str, csv_path: str | None, rows: int) -> None:
    """Show the hosts of OUTPUT (of geo-nemo prep) that tell no country, the heaviest first.

    Fill in the column country of the CSV (a code, a name, or none for what is no outlet), and give
    it as annotate.outlets=FILE; rows without one are passed over.
    """
    from data_prep.card.sentences import size
    from data_prep.ingest import unplaced_of
    from geo_nemo.common.files import write_whole

    found = unplaced_of(Path(output))
    heaviest = found.heaviest()
    table = _table("", "host", "documents", "dropped", "text", "example")
    for host, weight in heaviest[: rows or None]:
        cells = (host, f"{weight.documents:,}", f"{weight.dropped:,}", size(weight.bytes),
                 weight.example)  # fmt: skip
        table.add_row(*map(escape, cells))
    if heaviest:
        Console().print(table)
        _say_left_out(len(heaviest), rows)
    if csv_path:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("host", "country", "basis", "scope", "documents", "bytes", "example"))
        for host, weight in heaviest:
            writer.writerow((host, "", "", "", weight.documents, weight.bytes, weight.example))
        write_whole(Path(csv_path), text.getvalue().encode())
    documents = sum(weight.documents for weight in found.values())
    dropped = sum(weight.dropped for weight in found.values())
    click.echo(
        f"{plural(len(found), 'host tells', 'hosts tell')} no country, with "
        f"{plural(documents, 'document')}, of which {plural(dropped, 'was', 'were')} dropped"
    )


@command.command(
    short_help="the country of a host or URL, and why",
    epilog="Example: geo-nemo outlets show bbc.co.uk https://www.dawn.com/news/1",
)
@click.argument("hosts", nargs=-1, required=True, metavar="HOST_OR_URL...")
@click.option("--table", metavar="TABLE", help="A table of your own, before the default.")
def show(hosts: tuple[str, ...], table: str | None) -> None:
    """Show the country that each host or URL tells, and by what evidence."""
    from data_prep.annotate.origin import OriginRules
    from data_prep.annotate.outlets import load_outlets
    from data_prep.annotate.urls import parse_url
    from data_prep.quarantine import REASONS, Rejected
    from geo_nemo.metadata.geography import continent_of

    rules = OriginRules(load_outlets(table))
    shown = _table("", "host", "domain", "country", "continent", "confidence", "by")
    for text in hosts:
        try:
            url = parse_url(text)
        except Rejected as verdict:
            cells = (verdict.detail, "", "", "", "", REASONS[verdict.reason])
            shown.add_row(*map(escape, cells), style="yellow")
            continue
        host, (country, by) = url.host, rules.of_url(url)
        origin = rules.origin(None, None, host, rules.edition(url)) if country else None
        continent = continent_of(country) if country else ""
        confidence = f"{origin.confidence:.2f}" if origin else ""
        cells = (host.name, host.domain, country or "", continent, confidence, BY[by])
        shown.add_row(*map(escape, cells))
    Console().print(shown)


def _comparisons(compared: list["Comparison"]) -> Table:
    table = _table("Changes", "line", "host", "country", "before", "change")
    for c in compared:
        before = f"{c.before} by {BY[c.by]}" if c.before else ""
        style = "yellow" if c.change == "other country" else None
        cells = (str(c.row.line), c.row.host, c.row.country, before, c.change)
        table.add_row(*map(escape, cells), style=style)
    return table


def _host_changes(changes: list["HostChange"]) -> Table:
    table = _table("Hosts", "host", "before", "after", "documents", "their country now")
    for change in changes:
        by_country = ", ".join(f"{code} {n:,}" for code, n in change.documents.items())
        total = f"{sum(change.documents.values()):,}"
        cells = (change.host, change.before or "", change.after or "", total, by_country)
        table.add_row(*map(escape, cells))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _say_left_out(found: int, rows: int) -> None:
    if rows and found > rows:
        click.echo(f"and {found - rows:,} more; --rows 0 prints all")
