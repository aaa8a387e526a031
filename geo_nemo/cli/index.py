"""`geo-nemo index`: build the packing index of every stage ahead of the training that reads it."""

import click
from rich.console import Console
from rich.table import Table

from geo_nemo.cli.options import OVERRIDES

SPLIT = "train"


@click.command(
    epilog="Example: geo-nemo index data.store=S output_dir=runs/a data.index_workers=16"
)
@OVERRIDES
def command(overrides: tuple[str, ...]) -> int:
    """Plan which documents each sequence of each stage holds, and write that down.

    Takes the settings of geo-nemo train, and needs no GPU. A training with the same settings finds
    what is built here; without it, its first process builds it. What is whole is kept.
    """
    from geo_nemo.cli.progress import fetch_bar, progress_bar
    from geo_nemo.config import Run
    from geo_nemo.config.load import load_config
    from geo_nemo.config.stage_sizes import stage_run
    from geo_nemo.data.dataset import Statistics
    from geo_nemo.data.groups import grouping_of
    from geo_nemo.data.parts import index_places
    from geo_nemo.data.stage import build_stage_index, open_store

    run = load_config("train", Run, overrides)
    with fetch_bar(run.data.store) as fetching:
        store = open_store(run, fetching, tokens=False)
    split, tokenizer = store.split(SPLIT), store.tokenizer()
    groups = grouping_of(store, run.groups)
    table = Table(title="Packing indices", title_justify="left")
    for name in ("stage", "index"):
        table.add_column(name, overflow="fold")
    for name in ("documents", "sequences", "epochs", "padding", "cut", "later text", "metadata"):
        table.add_column(name, justify="right")
    for stage in run.stages:
        with progress_bar() as progress:
            index, built = build_stage_index(
                run, store.hash, split, tokenizer, stage, progress, groups
            )
        found = Statistics.of(index.counts, index.documents, stage_run(run, stage).data.seq_length)
        places = index_places(run, store.hash, split, stage)
        where = ", ".join(str(place.path) for place in places)
        table.add_row(
            stage,
            f"{where} ({'built' if built else 'was there'})",
            f"{index.documents:,}",
            f"{found.sequences:,}",
            f"{found.epochs:.2f}",
            f"{1 - found.fill:.2%}",
            f"{found.cut_fraction:.2%}",
            f"{found.later_fraction:.2%}",
            f"{found.metadata_fraction:.2%}",
        )
    Console(highlight=False).print(table)
    return 0
