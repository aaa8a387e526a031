"""`geo-nemo store remove`: documents leave a store and its corpus, and their readers are named."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geo_nemo.cli.options import DiskFile, DiskPath
from geo_nemo.cli.store_move import here
from geo_nemo.cli.store_options import STORE, WHERE
from geo_nemo.common.counts import plural

if TYPE_CHECKING:
    from data_prep.store_tools.remove import Removed
    from geo_nemo.store import TokenStore
    from geo_nemo.train.reads import RunReads

NAMED = 5  # of a list's lines that no document has
_FILE = DiskPath(path_type=Path)


@click.command(
    short_help="a store without some documents, and who has read them",
    epilog="Example: geo-nemo store remove runs/news/store --list gone.txt --out runs/news/store-2 "
    "--run runs/global --takedown takedown.json",
)
@STORE
@click.option("--out", metavar="STORE", type=_FILE, help="The new store.")
@click.option(
    "--list", "list_path", metavar="FILE", type=_FILE,
    help="A URL, a host (example.com, example.com/sport) or a document's hash a line.",
)  # fmt: skip
@WHERE
@click.option("--copies", is_flag=True, help="Their near-duplicates go, too.")
@click.option(
    "--corpus", metavar="FOLDER", type=_FILE, help="The corpus that the store was made of."
)
@click.option("--corpus-out", metavar="FOLDER", type=_FILE, help="That corpus without them.")
@click.option(
    "--run", "runs", multiple=True, metavar="RUN", type=_FILE,
    help="Look up which stages, steps and checkpoints of this run have read them; several times.",
)  # fmt: skip
@click.option(
    "--takedown",
    metavar="FILE",
    type=DiskFile(path_type=Path),
    help="Write what was removed as JSON.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and who has read it.")
def remove(
    store: Path | str,
    out: Path | None,
    list_path: Path | None,
    where: tuple[str, ...],
    copies: bool,
    corpus: Path | None,
    corpus_out: Path | None,
    runs: tuple[Path, ...],
    takedown: Path | None,
    dry_run: bool,
) -> None:
    """Make a store without some documents: those of a list that also hold every --where.

    The old store stays as it is: remove it when no run needs it any more. Unchanged shards are
    hard links, so it may be removed at once. A run that was trained on the old store cannot be
    resumed on the new one; a new run can begin with its weights (init.checkpoint).
    """
    import numpy as np

    from data_prep.corpus_out.without import check_corpus, corpus_without
    from data_prep.store_tools.listed import read_listed
    from data_prep.store_tools.output import check_free
    from data_prep.store_tools.remove import find_removal
    from data_prep.store_tools.where import parse_where
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.common.errors import UserError
    from geo_nemo.common.files import write_whole
    from geo_nemo.train.reads import SPLIT, read_by

    if (out is None) != dry_run:
        raise UserError("give --out STORE, or --dry-run, one of the two")
    if (corpus is None) != (corpus_out is None):
        raise UserError("give --corpus and --corpus-out together")
    if corpus is not None and corpus_out is not None:  # before a store is made
        check_corpus(corpus, corpus_out)
    listed = read_listed(list_path) if list_path else None
    conditions, folder = parse_where(where), here(store)
    if out is not None:
        check_free(out)
    with progress_bar() as progress:
        found = find_removal(folder, listed, conditions, copies, progress)
        opened, done = found.store, found.removed
        # Before anything is made: a run may be of another store.
        numbers = np.array([g.number for g in done.documents if g.split == SPLIT], np.int64)
        read = [read_by(run, opened, numbers, progress) for run in runs]
        if out is not None:
            done = found.write(out, progress)
            if corpus is not None and corpus_out is not None:
                hashes = np.array([int(g.hash, 16) for g in done.documents], np.uint64)
                gone = corpus_without(corpus, corpus_out, hashes, progress)
                click.echo(f"corpus: {corpus_out}, {plural(gone, 'document')} fewer than {corpus}")
    if takedown is not None:
        content = json.dumps(_takedown(opened, done, read), indent=1) + "\n"
        write_whole(takedown, content.encode())
        click.echo(f"takedown list: {takedown}")
    _say(opened, done, read, out)
    if listed is not None and (missing := listed.without((g.hash, g.url) for g in done.documents)):
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        click.echo(f"not among them: {', '.join(missing[:NAMED])}{more}")


def _say(store: "TokenStore", done: "Removed", read: list["RunReads"], out: Path | None) -> None:
    documents, tokens = len(done.documents), sum(gone.tokens for gone in done.documents)
    verb = "would go" if out is None else "removed"
    click.echo(
        f"{plural(documents, 'document')} ({plural(tokens, 'token')}) {verb}, "
        f"{sum(done.kept.values()):,} stay"
    )
    if done.copies:
        stay = plural(done.copies, "near-duplicate of them stays", "near-duplicates of them stay")
        click.echo(f"{stay}: give --copies to remove such as well")
    for run in read:
        for stage in run.stages:
            if not len(stage.steps):
                continue
            click.echo(
                f"{run.run}: stage {stage.stage} read {len(set(stage.documents.tolist())):,} of "
                f"them, first in step {int(stage.steps.min())}, last in {int(stage.steps.max())}"
            )
        seen = run.seen_by()
        what = f"checkpoints that have seen them: {', '.join(seen)}" if seen else "has read none"
        click.echo(f"{run.run}: {what} (of {plural(run.steps, 'step')})")
        for before in run.before:
            click.echo(f"{run.run}: its first weights are of {before}: ask for that run as well")
    if out is not None:
        taken = plural(done.shards_taken, "shard")
        click.echo(f"{taken} taken whole, {done.shards_copied:,} copied in part")
        click.echo(
            f"store: {out} (hash {done.hash}); {store.root} (hash {store.hash}) is as it was"
        )


def _takedown(store: "TokenStore", done: "Removed", read: list["RunReads"]) -> dict[str, Any]:
    """What was removed, and by which runs, stages, steps and checkpoints it was read."""
    from dataclasses import asdict

    from geo_nemo.train.reads import SPLIT

    steps: dict[int, list[dict[str, Any]]] = {}
    for run in read:
        for stage in run.stages:
            for number, step in zip(stage.documents.tolist(), stage.steps.tolist(), strict=True):
                entry = {"run": run.run, "stage": stage.stage, "step": step}
                steps.setdefault(number, []).append(entry)
    return {
        "store": {"folder": str(store.root), "hash": store.hash},
        "new_store_hash": done.hash or None,
        "near_duplicates_that_stay": done.copies,
        "runs": [
            {
                "run": run.run,
                "steps": run.steps,
                "stages": {
                    stage.stage: {
                        "documents": len(set(stage.documents.tolist())),
                        "first_step": int(stage.steps.min()),
                        "last_step": int(stage.steps.max()),
                    }
                    for stage in run.stages
                    if len(stage.steps)
                },
                "checkpoints": run.seen_by(),
                "first_weights_of": list(run.before),
            }
            for run in read
        ],
        "documents": [
            {**asdict(gone), "read": steps.get(gone.number, []) if gone.split == SPLIT else []}
            for gone in done.documents
        ],
    }
