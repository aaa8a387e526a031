"""`geo-nemo audit`: show packed sequences and statistics of each stage; check the contract."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from geo_nemo.cli.options import OVERRIDES, DiskFile
from geo_nemo.common.counts import plural

if TYPE_CHECKING:
    from geo_nemo.data.audit.check import StageAudit

EXIT_RULE_BROKEN = 1
SPLIT = "train"


@click.command(epilog="Example: geo-nemo audit experiment=demo data.store=runs/store --sequences 2")
@OVERRIDES
@click.option(
    "--sequences",
    "--rows",
    default=3,
    show_default=True,
    type=click.IntRange(0),
    help="Sequences of each stage to show.",
)
@click.option(
    "--check-sequences",
    "--check-rows",
    default=5000,
    show_default=True,
    type=click.IntRange(0),
    help="Sequences of each stage to check, rounded up to whole packing windows.",
)
@click.option(
    "--html",
    "html_path",
    metavar="FILE",
    type=DiskFile(),
    help="Write them to an HTML page as well.",
)
def command(
    overrides: tuple[str, ...], sequences: int, check_sequences: int, html_path: str | None
) -> int:
    """Show packed sequences of each stage and check what is trained.

    Takes the settings of geo-nemo train. Exits with 1 when a rule is broken.
    """
    from geo_nemo.cli.progress import fetch_bar, progress_bar
    from geo_nemo.common.files import write_whole
    from geo_nemo.config import Run
    from geo_nemo.config.load import load_config
    from geo_nemo.data.audit.check import audit_stage
    from geo_nemo.data.audit.render import sequence_html, sequence_text, sequences_page
    from geo_nemo.data.dataset import stage_dataset
    from geo_nemo.data.groups import grouping_of
    from geo_nemo.store import TokenStore

    if not any(override.lstrip("+").startswith("output_dir=") for override in overrides):
        overrides = (*overrides, "output_dir=.")  # the run's; nothing is written there
    run = load_config("train", Run, overrides)
    with fetch_bar(run.data.store) as fetching:
        store = TokenStore.open(run.data.store, cache_dir=run.data.cache_dir, progress=fetching)
    split, tokenizer = store.split(SPLIT), store.tokenizer()
    groups = grouping_of(store, run.groups)
    console = Console(highlight=False)
    audits, shown = [], []
    for stage in run.stages:
        with progress_bar() as progress:
            wanted = max(1, sequences, check_sequences)
            dataset = stage_dataset(
                run,
                split,
                tokenizer,
                stage,
                progress=progress,
                at_least_sequences=wanted,
                groups=groups,
            )
            audit = audit_stage(dataset, max(1, check_sequences), progress)
        audits.append(audit)
        console.rule(f"stage {stage}, policy {audit.policy_hash}")
        for sample in range(min(sequences, len(dataset))):
            sequence = dataset[sample]
            console.print(f"[bold]sequence {sample}[/bold]")
            console.print(sequence_text(sequence, tokenizer, groups.names))
            if html_path:
                html = sequence_html(sequence, tokenizer, groups.names)
                shown.append((f"Stage {stage}, sequence {sample}", html))
        console.print(_statistics(audit))
        console.print(_groups(audit))
    if html_path:
        write_whole(Path(html_path), sequences_page("Packed sequences", shown).encode())
        click.echo(html_path)
    return _verdict(console, audits)


def _statistics(audit: "StageAudit") -> Table:
    table = Table(title="Rows", title_justify="left", show_header=False)
    found = audit.statistics
    windows = f"{audit.windows:,}"
    if audit.total_windows:
        windows += f" of an epoch's {audit.total_windows:,}"
    for name, value in (
        ("packing windows", windows),
        ("documents", f"{found.documents:,}"),
        ("sequences", f"{found.sequences:,}"),
        ("documents and fragments a sequence", f"{found.documents_per_sequence:.2f}"),
        ("padding, of all positions", f"{1 - found.fill:.2%}"),
        ("documents cut", f"{found.cut_documents:,} ({found.cut_fraction:.2%})"),
        ("titles cut", f"{found.cut_titles:,}"),
        ("text without its document's start", f"{found.later_fraction:.2%}"),
        ("metadata, of filled positions", f"{found.metadata_fraction:.2%}"),
        ("not trained, of filled positions", f"{audit.masked_fraction:.2%}"),
        ("sequences checked", f"{audit.sequences:,}"),
    ):
        table.add_row(name, value)
    return table


def _groups(audit: "StageAudit") -> Table:
    by = " and ".join(audit.by)
    table = Table(title=f"Checked sequences by {by}", title_justify="left")
    table.add_column(by)
    for name in ("fragments", "positions", "trained labels"):
        table.add_column(name, justify="right")
    for group, count in audit.by_group.items():
        table.add_row(
            escape(group), f"{count.fragments:,}", f"{count.positions:,}", f"{count.trained:,}"
        )
    return table


def _verdict(console: Console, audits: list["StageAudit"]) -> int:
    """Print the broken rules, or that there is none; the exit code."""
    clean = True
    for audit in audits:
        for rule, times in audit.broken.items():
            clean = False
            often = plural(times, "time")
            console.print(f"[red]broken[/red] in stage {audit.stage}, {often}: {rule}")
        for violation in audit.violations:
            console.print(
                f"  sequence {violation.sample}, position {violation.position}: {violation.rule}: "
                f"{violation.detail}",
                markup=False,
            )
    if clean:
        console.print("[green]every rule holds[/green] in the checked sequences")
    return 0 if clean else EXIT_RULE_BROKEN
