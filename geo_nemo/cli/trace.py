"""`geo-nemo trace`: documents of a store that hold what a model wrote, and who has read them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape

from geo_nemo.cli.options import DiskFile, DiskPath
from geo_nemo.cli.store_options import STORE
from geo_nemo.common.counts import plural

if TYPE_CHECKING:
    from data_prep.store_tools.trace import Source, Traced
    from geo_nemo.train.reads import RunReads

_EXCERPT = 90


@click.command(
    epilog="Example: geo-nemo trace runs/news/store --run runs/global --text 'the minister said "
    "that the new bridge would open in May'"
)
@STORE
@click.option("--text", metavar="TEXT", help="What a model wrote.")
@click.option("--file", "file", metavar="FILE", type=click.Path(path_type=Path), help="Or a file.")
@click.option(
    "--run", metavar="RUN", type=click.Path(path_type=Path),
    help="In which stage and step this run has read them.",
)  # fmt: skip
@click.option(
    "--words", default=8, show_default=True, type=click.IntRange(3), metavar="N",
    help="Where no document holds the whole text: look for runs of so many of its words.",
)  # fmt: skip
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), metavar="N")
@click.option(
    "--index", metavar="FOLDER", type=DiskPath(path_type=Path),
    help="Of the texts' index, which is made once; STORE.trace beside the store else.",
)  # fmt: skip
@click.option(
    "--json", "json_path", metavar="FILE", type=DiskFile(), help="Write what was found as JSON."
)
def command(
    store: Path | str,
    text: str | None,
    file: Path | None,
    run: Path | None,
    words: int,
    top: int,
    index: Path | None,
    json_path: str | None,
) -> None:
    """Find documents of a store that share a run of words with a text.

    The first call makes an index of all texts (about half their size on disk); it serves until the
    store changes. Case and punctuation do not matter. Needs the extra [trace].
    """
    import numpy as np

    from data_prep.store_tools.text_index import text_index
    from data_prep.store_tools.trace import check_words, trace
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.cli.store_move import here
    from geo_nemo.common.characters import half_character
    from geo_nemo.common.errors import UserError
    from geo_nemo.common.files import write_whole
    from geo_nemo.store import TokenStore
    from geo_nemo.store.manifest import TEXTS_SUFFIX
    from geo_nemo.train.reads import SPLIT, check_run, read_by

    if (text is None) == (file is None):
        raise UserError("give --text TEXT or --file FILE")
    wanted = text if text is not None else _read(file)
    if half_character(wanted):
        raise UserError("--text holds half a character: give it in UTF-8")
    if not any(map(str.isalnum, wanted)):  # before an index of all texts is made
        raise UserError("the text holds no word: give some words of what a model wrote")
    folder = here(store)
    opened = TokenStore.open(folder)
    if run is not None:  # before an index of all texts is made
        check_run(run, opened)
    check_words(wanted)
    with progress_bar() as progress:
        beside = folder.with_name(f"{folder.name}{TEXTS_SUFFIX}")
        searched = text_index(opened, index or beside, progress)
        found = trace(opened, searched, wanted, words, top)
        read = None
        if run is not None:
            numbers = [s.place.number for s in found.sources if s.place.split == SPLIT]
            read = read_by(run, opened, np.array(numbers, np.int64), progress)
    _print(found, read, Console(highlight=False))
    for before in read.before if read is not None else ():
        click.echo(f"{run}: its first weights are of {before}: ask for that run as well")
    if json_path:
        entries = [_entry(source, read) for source in found.sources]
        content = {"words": found.words, "whole": found.whole, "sources": entries}
        write_whole(Path(json_path), (json.dumps(content, indent=1) + "\n").encode())
        click.echo(json_path)


def _read(file: Path) -> str:
    from geo_nemo.common.errors import UserError

    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(f"cannot read {file}: {reason}; give --file FILE") from None


def _print(found: "Traced", read: "RunReads | None", console: Console) -> None:
    if not found.sources:
        console.print(f"no document shares a run of words with this text ({found.words} words)")
        return
    if found.whole:
        said = plural(found.whole, "document holds", "documents hold")
        console.print(f"{said} all {found.words} words")
    for source in found.sources:
        record, place = source.record, source.place
        line = (
            f"{place.split} {place.number}  {source.hash}  {record.host}  "
            f"{record.country or 'unknown'}  {source.shared} of {found.words} words"
        )
        if read is not None:
            steps = ", ".join(f"{stage} step {step}" for stage, step in _steps(source, read))
            line += f"  read in {steps}" if steps else "  not read"
        console.print(escape(line), style="bold", soft_wrap=True)
        cut = "…" if len(source.excerpt) > _EXCERPT else ""
        console.print(escape(f"    {source.excerpt[:_EXCERPT]}{cut}"), soft_wrap=True)


def _steps(source: "Source", read: "RunReads") -> list[tuple[str, int]]:
    from geo_nemo.train.reads import SPLIT

    if source.place.split != SPLIT:
        return []
    return [
        (stage.stage, int(step))
        for stage in read.stages
        for step in stage.steps[stage.documents == source.place.number]
    ]


def _entry(source: "Source", read: "RunReads | None") -> dict[str, Any]:
    record = source.record
    entry: dict[str, Any] = {
        "split": source.place.split,
        "number": source.place.number,
        "hash": source.hash,
        "url": f"{record.scheme}://{record.host}{record.path}",
        "country": record.country,
        "shared": source.shared,
        "from_word": source.first,
        "covered": source.covered,
        "excerpt": source.excerpt,
    }
    if read is not None:
        entry["read"] = [{"stage": stage, "step": step} for stage, step in _steps(source, read)]
    return entry
