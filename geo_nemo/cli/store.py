"""`geo-nemo store`: verify, merge, sample, inspect, count, export and move token stores."""

from pathlib import Path

import click
from rich.console import Console

from geo_nemo.cli.options import DiskFile, DiskPath
from geo_nemo.cli.sampling import SEED
from geo_nemo.cli.store_move import StorePlace, here, pull, push
from geo_nemo.cli.store_options import POLICY, POSITION, STORE, TEMPLATE, URL_FORM, WHERE
from geo_nemo.cli.store_remove import remove
from geo_nemo.cli.usage import Named
from geo_nemo.common.counts import plural

EXIT_BROKEN = 1


class _Group(Named):
    of = " of store"


@click.group(cls=_Group, epilog="Example: geo-nemo store stats runs/news/store --html stats.html")
def command() -> None:
    """Look at token stores, check them, make new ones of them, and move them.

    A STORE is a folder, or s3://bucket/folder: then it is fetched first, once, to the folder
    $XDG_CACHE_HOME/geo-nemo, else ~/.cache/geo-nemo.
    """


@command.command(
    short_help="read all, say whole or name the broken shards",
    epilog="Example: geo-nemo store verify runs/news/store",
)
@STORE
@click.option("--workers", default=0, metavar="N", type=click.IntRange(0),
              help="Shards at the same time; 0: one a core.")  # fmt: skip
def verify(store: Path | str, workers: int) -> int:
    """Read a whole store and say that it is whole, or name each broken shard.

    Exits with 1 when something is broken, with 2 when there is no store to read.
    """
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.cli.store_words import broken_line, whole_line
    from geo_nemo.store.manifest import DamagedStore, read_manifest
    from geo_nemo.store.verify import find_damage

    try:
        store = here(store)
        manifest, content_hash = read_manifest(store)
        with progress_bar("bytes") as progress:
            damage = find_damage(store, manifest, progress, workers)
    except DamagedStore as error:
        click.echo(f"geo-nemo: {error}", err=True)
        return EXIT_BROKEN
    if damage:
        for each in damage:
            click.echo(f"{store / each.file} {each.problem}")
        click.echo(f"geo-nemo: {broken_line(store, manifest, damage)}", err=True)
        return EXIT_BROKEN
    click.echo(f"{store}: {whole_line(manifest)}, hash {content_hash}")
    return 0


@command.command(
    short_help="documents and tokens by country, host, year, source",
    epilog="Example: geo-nemo store stats runs/news/store --html stats.html",
)
@STORE
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Count this split only.")
@click.option(
    "--top",
    default=25,
    show_default=True,
    metavar="N",
    help="Hosts to count by name, and countries to print; the files have all countries.",
)
@click.option(
    "--json", "json_path", metavar="FILE", type=DiskFile(), help="Write the counts as JSON."
)
@click.option(
    "--html", "html_path", metavar="FILE", type=DiskFile(), help="Write one HTML page with plots."
)
def stats(
    store: Path | str,
    splits: tuple[str, ...],
    top: int,
    json_path: str | None,
    html_path: str | None,
) -> None:
    """Documents and tokens by country, host, year and source; lengths and quality."""
    from data_prep.store_tools.stats import store_stats
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.cli.store_stats import print_stats
    from geo_nemo.common.files import write_whole
    from geo_nemo.store import TokenStore

    opened = TokenStore.open(here(store, tokens=False), tokens=False)
    with progress_bar() as progress:
        found = store_stats(opened, splits, max(0, top), progress)
    print_stats(found, Console(highlight=False), max(0, top))
    if json_path:
        write_whole(Path(json_path), (found.model_dump_json(indent=1) + "\n").encode())
        click.echo(json_path)
    if html_path:
        from geo_nemo.cli.store_page import stats_page

        write_whole(Path(html_path), stats_page(found).encode())
        click.echo(html_path)


@command.command(
    short_help="a document with its tokens in colour and its mask",
    epilog="Example: geo-nemo store inspect runs/news/store 7 --policy url,country",
)
@STORE
@click.argument("index", required=False, type=int)
@click.option("--id", "content_hash", metavar="HASH", help="The document with this hash.")
@click.option("--find", "text", metavar="TEXT", help="The first document, from INDEX on, with it.")
@click.option("--split", default="train", show_default=True, metavar="NAME")
@POLICY
@URL_FORM
@POSITION
@TEMPLATE
@click.option("--tokens", is_flag=True, help="Show where each token ends.")
@click.option("--ids", is_flag=True, help="List each token with its id, kind and mask.")
@click.option(
    "--html",
    "html_path",
    metavar="FILE",
    type=DiskFile(),
    help="Write the document to an HTML page.",
)
def inspect(
    store: Path | str,
    index: int | None,
    content_hash: str | None,
    text: str | None,
    split: str,
    policy: str,
    url_form: str,
    position: str,
    template: str,
    tokens: bool,
    ids: bool,
    html_path: str | None,
) -> None:
    """Show a document as training sees it: its tokens in colour, its columns, its mask.

    INDEX counts the documents of the split from 0; it is 0 when nothing else says which.
    """
    from data_prep.store_tools.find import find_document
    from data_prep.store_tools.policies import parse_policy
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.cli.store_show import document_page, print_document, show_document
    from geo_nemo.common.files import write_whole
    from geo_nemo.store import TokenStore
    from geo_nemo.store.fields import check_columns

    chosen = parse_policy(policy, url_form, position, template)
    opened = TokenStore.open(here(store))
    check_columns(chosen, opened, "--policy")
    with progress_bar() as progress:
        number = find_document(opened, split, index, content_hash, text, progress)
    shown = show_document(opened, split, number, chosen)
    print_document(shown, Console(highlight=False), tokens, ids)
    if html_path:
        write_whole(Path(html_path), document_page(shown).encode())
        click.echo(html_path)


@command.command(
    short_help="Megatron's files, or packed sequences as WebDataset, under any metadata policy",
    epilog="Example: geo-nemo store export runs/news/store --out runs/mcore/train --policy url",
)
@STORE
@click.option(
    "--out",
    required=True,
    metavar="PREFIX",
    type=DiskPath(),
    help="PREFIX.bin and PREFIX.idx; or a folder of tars.",
)
@POLICY
@URL_FORM
@POSITION
@TEMPLATE
@click.option("--split", default="train", show_default=True, metavar="NAME")
@WHERE
@click.option(
    "--format", type=click.Choice(("megatron", "webdataset")), default="megatron", show_default=True
)
@click.option(
    "--seq-length", default=2048, show_default=True, help="Of packed sequences (webdataset)."
)
@click.option(
    "--seed", default=1234, type=SEED, show_default=True, help="Of their order (webdataset)."
)
@click.option(
    "--sequences-per-shard",
    "--rows-per-shard",
    default=4096,
    show_default=True,
    help="Of a tar (webdataset).",
)
@click.option(
    "--tokens",
    type=click.Choice(("whole", "trained")),
    default="whole",
    show_default=True,
    help="whole: ids of the whole text, and a sample of documents is compared with what the "
    "vocabulary gives; trained: the ids that geo-nemo trains on, not compared.",
)
def export(
    store: Path | str,
    out: str,
    policy: str,
    url_form: str,
    position: str,
    template: str,
    split: str,
    where: tuple[str, ...],
    format: str,
    seq_length: int,
    seed: int,
    sequences_per_shard: int,
    tokens: str,
) -> None:
    """Write a split as Megatron's .bin and .idx under a metadata policy, or packed, as WebDataset.

    In Megatron's each document stands from BOS to EOS; it has neither loss mask nor dropout, which
    are training's. With --format webdataset an epoch of packed sequences is written, each with
    tokens, labels, loss mask, borders and groups, as geo-nemo would train on them.
    """
    from data_prep.store_tools.export import export_megatron
    from data_prep.store_tools.policies import parse_policy, policy_words
    from data_prep.store_tools.where import parse_where
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.cli.store_move import export_sequences
    from geo_nemo.common.errors import UserError
    from geo_nemo.store import TokenStore
    from geo_nemo.store.fields import check_columns

    chosen, conditions = parse_policy(policy, url_form, position, template), parse_where(where)
    opened = TokenStore.open(here(store))
    check_columns(chosen, opened, "--policy")
    if format == "webdataset":
        if seq_length < 16 or sequences_per_shard < 1:
            raise UserError("--seq-length is 16 or more, and --sequences-per-shard 1 or more")
        export_sequences(
            opened, Path(out), chosen, split, conditions, seq_length, seed, sequences_per_shard
        )
        return
    with progress_bar() as progress:
        done = export_megatron(
            opened, Path(out), chosen, split, conditions, tokens == "trained", progress
        )
    click.echo(
        f"{plural(done.documents, 'document')}, {plural(done.tokens, 'token')} ({done.dtype}), "
        f"{done.bytes:,} bytes; {policy_words(chosen)}"
    )
    if done.checked:
        click.echo(f"{plural(done.checked, 'document')} compared with their whole text: equal")
    click.echo(f"{out}.bin\n{out}.idx")


@command.command(
    short_help="one store of several, without texts twice",
    epilog="Example: geo-nemo store merge runs/a/store runs/b/store --out runs/ab",
)
@click.argument("stores", nargs=-1, required=True, type=StorePlace())
@click.option("--out", required=True, metavar="STORE", type=DiskPath(path_type=Path))
def merge(stores: tuple[Path | str, ...], out: Path) -> None:
    """Make one store of several that have the same tokenizer.

    A text stays once: in the split that holds out most (test, validation, train), and there from
    the first store that has it. A document whose near-duplicate another store holds out is left
    out of train. Unchanged shards are hard links, so the stores may be removed afterwards.
    """
    from data_prep.store_tools.merge import merge_stores
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.cli.store_words import print_merge

    folders = [here(store) for store in stores]
    with progress_bar() as progress:
        merged = merge_stores(folders, out, progress)
    print_merge(merged, Console(highlight=False))
    click.echo(f"store: {out} (hash {merged.hash})")


@command.command(
    short_help="a small store: by chance, by country, filtered",
    epilog="Example: geo-nemo store sample runs/news/store --out runs/small --documents 1000 "
    "--per-country --where 'year>=2020'",
)
@STORE
@click.option("--out", required=True, metavar="STORE", type=DiskPath(path_type=Path))
@click.option("--documents", required=True, type=click.IntRange(min=1), metavar="N")
@click.option("--per-country", is_flag=True, help="The same number from each country.")
@WHERE
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Draw from this split only.")
@click.option("--seed", default=0, show_default=True, type=SEED)
def sample(
    store: Path | str,
    out: Path,
    documents: int,
    per_country: bool,
    where: tuple[str, ...],
    splits: tuple[str, ...],
    seed: int,
) -> None:
    """Make a small store of documents drawn from a store.

    Splits give in proportion to their documents. The same store, seed and options give the same
    sample.
    """
    from data_prep.store_tools.sample import sample_store
    from data_prep.store_tools.where import parse_where
    from geo_nemo.cli.progress import progress_bar

    conditions, folder = parse_where(where), here(store)
    with progress_bar() as progress:
        drawn = sample_store(
            folder, out, documents, seed, per_country, conditions, splits, progress
        )
    by_split = ", ".join(f"{name} {count:,}" for name, count in drawn.by_split.items())
    click.echo(
        f"{drawn.documents:,} of {plural(drawn.matching, 'document')}, "
        f"{plural(drawn.countries, 'country', 'countries')}; {by_split}"
    )
    if drawn.documents < documents:
        click.echo(f"fewer than {documents:,}: no more match")
    click.echo(f"store: {out} (hash {drawn.hash})")


command.add_command(remove)
command.add_command(push)
command.add_command(pull)
