"""`geo-nemo prep`: raw records to an annotated corpus, a token store and a data card."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geo_nemo.cli.options import DryRun, Recipes
from geo_nemo.cli.units import duration

if TYPE_CHECKING:
    from data_prep.card import CardData
    from data_prep.config import Prep
    from data_prep.plan import Plan

EXAMPLE = (
    "Example: geo-nemo prep run input=news.jsonl.gz output=runs/news tokenizer.vocab_size=16000"
)

EXIT_LOST = 1
SHOWN_VALUES = 5
SHOWN_LOST = 20


class _Group(click.Group):
    """Says what to write where the subcommand was forgotten."""

    def resolve_command(self, context: click.Context, args: list[str]):
        if "=" in args[0]:
            raise click.UsageError(f"write geo-nemo prep run {args[0]} ...", context)
        return super().resolve_command(context, args)


@click.group(cls=_Group, epilog=EXAMPLE)
def command() -> None:
    """Turn raw records into an annotated corpus, a token store and a data card."""


@command.command(epilog=EXAMPLE)
@click.argument("arguments", nargs=-1, metavar="[CONFIG] [KEY=VALUE]...")
@click.option("--stage", "only", multiple=True, metavar="NAME", help="Run this stage alone.")
@click.option("--strict", is_flag=True, help="Exit with 1 where a file was lost, or a part of it.")
@Recipes
@DryRun
def run(arguments: tuple[str, ...], only: tuple[str, ...], strict: bool, dry_run: bool) -> int:
    """Run every stage that is not finished yet.

    CONFIG is a YAML file, a whole config as JSON or the name of a recipe; without one,
    recipes/prep.yaml, which names every setting. Input is JSON, JSON Lines, CSV, Parquet, Arrow,
    ORC, WebDataset, WARC, ARC, WET, saved web pages or a Hugging Face dataset on disk, of this
    machine or s3://, with url, text and, where known, title, country, continent, id and date.
    Stopped at any moment, the same command goes on from there.
    """
    from data_prep.config import Prep
    from data_prep.graph import run_prep
    from data_prep.plan import make_plan
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.config.load import load_config

    name, overrides = "prep", arguments
    if arguments and "=" not in arguments[0]:
        name, *overrides = arguments
    config = load_config(name, Prep, tuple(overrides))
    if dry_run:
        print_plan(make_plan(config, only), Console())
        return 0
    with progress_bar(unit="bytes") as progress:
        seconds = run_prep(config, progress, only)
    print_result(config.output, seconds, Console())
    return EXIT_LOST if strict and _any_lost(config) else 0


def _any_lost(config: "Prep") -> bool:
    from data_prep.card.stage import REPORT
    from data_prep.engine.stage import WORK
    from data_prep.ingest import Ingest
    from geo_nemo.common.files import read_json

    if (Path(config.output) / WORK).is_dir():
        return any(receipt.counts["lost"] for receipt in Ingest(config).receipts())
    return bool(read_json(Path(config.output) / REPORT, "run the same command again")["lost"])


def print_plan(plan: "Plan", console: Console) -> None:
    """The plan as two tables."""
    from data_prep.card.sentences import size

    sizes = Table(title="Plan", title_justify="left", show_header=False)
    sizes.add_column()
    sizes.add_column(justify="right")
    sizes.add_column(style="dim")
    sample = f"from the first {plan.sample.records:,} records"
    sizes.add_row("input files", f"{plan.files:,}", "")
    sizes.add_row("their size", size(plan.bytes), "")
    sizes.add_row("records kept", f"{plan.sample.kept:.1%}", f"{sample}, before deduplication")
    for name, part in plan.sample.fields.items():
        absent = plan.sample.absent.get(name)
        note = escape(absent) if absent else "of these have it"
        sizes.add_row(f"field {name}", f"{part:.1%}", note, style="red" if absent else None)
    sizes.add_row("documents, about", f"{plan.documents:,}", sample)
    sizes.add_row("text, about", size(plan.text_bytes), sample)
    sizes.add_row("tokens, about", f"{plan.tokens:,}", "at 4.5 bytes a token")
    sizes.add_row("tokenizer", "", escape(plan.tokenizer))
    short = plan.disk_bytes > plan.free_bytes
    sizes.add_row(
        "disk, at most about",
        size(plan.disk_bytes),
        f"{size(plan.free_bytes)} are free" + (": too little" if short else ""),
        style="red" if short else None,
    )
    sizes.add_row("workers", f"{plan.workers}", "")
    sizes.add_row("time, about", duration(plan.seconds), "where the tasks share it equally")
    console.print(sizes)
    if plan.passed_over:
        console.print(
            plan.passed_over, style="yellow", highlight=False, markup=False, soft_wrap=True
        )
    stages = Table(title="Stages", title_justify="left")
    stages.add_column("stage")
    for name in ("tasks", "done", "CPU time left, about"):
        stages.add_column(name, justify="right")
    for stage in plan.stages:
        if stage.tasks == 0:
            continue
        known = stage.tasks is not None
        stages.add_row(
            stage.name,
            f"{stage.tasks:,}" if known else "known later",
            f"{stage.done:,}" if known else "",
            duration(stage.cpu_seconds) if stage.cpu_seconds else "",
        )
    console.print(stages)


def _lost_lines(card: "CardData") -> list[str]:
    """A line for all files that are lost, and one for each of the first."""
    from data_prep.card.sentences import lost_files, lost_how, visible

    if not card.lost:
        return []
    lines = [f"  {f.name}: {lost_how(f.reason, f.detail, f.records)}" for f in card.lost]
    more = len(lines) - SHOWN_LOST
    lines = lines[:SHOWN_LOST] + [f"  and {more:,} more, in report.json"] * (more > 0)
    return [lost_files(card), *map(visible, lines)]


def _fields(card: "CardData") -> Table:
    """Metadata fields of the user's own: who has them, and their values."""
    from data_prep.card.fields import shown_values, value_words
    from data_prep.card.sentences import fraction, visible

    table = Table(title="Metadata of the input", title_justify="left")
    table.add_column("field")
    for name in ("documents", "share", "values"):
        table.add_column(name, justify="right")
    table.add_column("those with most tokens", overflow="fold")
    for name, field in card.fields.items():
        most = escape(visible(", ".join(shown_values(field, SHOWN_VALUES))))
        part = fraction(field.documents, card.documents)
        table.add_row(name, f"{field.documents:,}", part, value_words(field), most)
    return table


def print_result(output: str, seconds: dict[str, float], console: Console) -> None:
    """What was kept, what was not and why, and where everything is."""
    if "card" not in seconds:
        for name, value in seconds.items():
            console.print(f"{name}: {value:.1f} s", highlight=False)
        return
    from data_prep.card import CardData
    from data_prep.card.fields import field_notes
    from data_prep.card.page import continents, reasons
    from data_prep.card.sentences import (
        ambiguous_dates,
        damaged,
        empty_splits,
        other_texts,
        size,
        summary,
        truncated,
        unread_dates,
    )

    folder = Path(output)
    card = CardData.model_validate_json((folder / "report.json").read_bytes())
    if any(step.total for step in card.steps):
        drops = Table(title="Dropped", title_justify="left")
        drops.add_column("step")
        drops.add_column("reason", overflow="fold")
        drops.add_column("records", justify="right")
        drops.add_column("meaning")
        for row in reasons(card):
            drops.add_row(row.step, row.name, row.records, row.meaning)
        console.print(drops)
    kept = Table(title="Documents", title_justify="left")
    kept.add_column("continent")
    for name in ("train", "validation", "test", "tokens"):
        kept.add_column(name, justify="right")
    for place in continents(card):
        kept.add_row(place.name, *place.splits, place.tokens)
    console.print(kept)
    if card.fields:
        console.print(_fields(card))
    console.print(summary(card), highlight=False)
    if empty_splits(card):
        console.print(empty_splits(card), style="yellow", highlight=False)
    for line in _lost_lines(card):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    for file in card.notes[:SHOWN_LOST]:
        console.print(f"{file.name}: {file.note}", highlight=False, markup=False, soft_wrap=True)
    dates = [ambiguous_dates(card)] if card.ambiguous_dates else []
    dates += [unread_dates(card)] if card.unread_dates else []
    texts = truncated(card), damaged(card)
    for line in filter(None, (*texts, *dates, other_texts(card), *field_notes(card))):
        console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    spent = duration(sum(seconds.values()))
    console.print(f"{size(card.text_bytes)} of records, {spent} in this run", highlight=False)
    click.echo(f"store: {folder / 'store'}")
    click.echo(f"data card: {folder / 'card.html'}")
    click.echo(f"samples of what was dropped: {folder / 'drops'}")
