"""`geo-nemo synth`: write a synthetic corpus and print what it holds."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from geo_nemo.cli.options import OVERRIDES, DryRun

EPILOG = "Example: geo-nemo synth output=runs/corpus documents=5000 signal=0.9"


@click.command(epilog=EPILOG)
@OVERRIDES
@DryRun
def command(overrides: tuple[str, ...], dry_run: bool) -> None:
    """Generate a synthetic geo-news corpus with known truth.

    Settings: output (folder), documents, seed, signal (0 to 1: how often a country's fact has the
    country's own value), style (0 to 1: how often wording is the host's own),
    questions_per_country, shards, workers. With kind=pcfg documents of a grammar whose latent is
    known: levels, likely, again, prompts, sentences.
    """
    from data_prep.synth import Synth, write_corpus, write_pcfg
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.config.load import load_config

    config = load_config("synth", Synth, overrides)
    if dry_run:
        for name, value in config.model_dump().items():
            click.echo(f"{name}={value}")
        return
    if config.kind == "pcfg":
        with progress_bar() as progress:
            made = write_pcfg(config, progress)
        click.echo(
            f"{config.documents:,} documents, {made['words']:,} words, of {made['latents']} latents"
        )
        click.echo(Path(config.output) / "synth.json")
        return
    with progress_bar() as progress:
        summary = write_corpus(config, progress)
    console = Console()
    console.print(_documents(summary))
    console.print(_floors(summary))
    for file in summary["files"]:
        click.echo(Path(config.output) / file["path"])
    click.echo(Path(config.output) / "synth.json")


def _documents(summary: dict[str, Any]) -> Table:
    table = Table(title="Documents", title_justify="left")
    for name, justify in (("country", "left"), ("continent", "left"), ("documents", "right"),
                          ("words", "right"), ("words a document", "right")):  # fmt: skip
        table.add_column(name, justify=justify)
    countries = summary["countries"]
    total = {"continent": "", **{key: sum(row[key] for row in countries.values())
                                 for key in ("documents", "words")}}  # fmt: skip
    for name, row in [*countries.items(), ("all", total)]:
        mean = row["words"] / row["documents"] if row["documents"] else 0.0
        table.add_row(
            name, row["continent"], f"{row['documents']:,}", f"{row['words']:,}", f"{mean:.1f}"
        )
    return table


def _floors(summary: dict[str, Any]) -> Table:
    mean, gain = summary["nats_per_document"], summary["gain"]
    table = Table(title="Floor of the loss, nats a document", title_justify="left")
    table.add_column("told")
    table.add_column("title", justify="right")
    table.add_column("body", justify="right")
    table.add_row("host", f"{mean['title_with']:.3f}", f"{mean['body_with']:.3f}")
    table.add_row("country", f"{mean['title_with']:.3f}", f"{mean['body_country']:.3f}")
    table.add_row("continent", f"{mean['title_with']:.3f}", f"{mean['body_continent']:.3f}")
    table.add_row("nothing", f"{mean['title_without']:.3f}", f"{mean['body_without']:.3f}")
    table.add_section()
    table.add_row("gain of the host", f"{gain['title']:.3f}", f"{gain['body']:.3f}")
    table.add_row("  by facts alone", "", f"{gain['facts_alone']:.3f}")
    table.add_row("  by style alone", "", f"{gain['style_alone']:.3f}")
    table.add_row(f"  at most, ln {summary['hosts']}", "", f"{gain['ceiling']:.3f}")
    return table
