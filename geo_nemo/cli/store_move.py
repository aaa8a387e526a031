"""Stores on `s3://` for the command line: `geo-nemo store push` and `pull`, and a STORE there."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from geo_nemo.common.addresses import check_address, is_remote
from geo_nemo.common.counts import plural
from geo_nemo.common.errors import as_typed

if TYPE_CHECKING:
    from data_prep.store_tools.where import Where
    from geo_nemo.config import MetadataPolicy
    from geo_nemo.store import TokenStore
    from geo_nemo.store.remote import Moved


class StorePlace(click.ParamType):
    """A folder of this machine, or an address on `s3://`, which stays as it is."""

    name = "store"

    def convert(self, value: str, param, context) -> Path | str:
        return check_address("STORE", value) if is_remote(value) else Path(value)


def here(store: Path | str, tokens: bool = True) -> Path:
    """The folder of a store, which is fetched where it is on `s3://`; see `fetch_store`."""
    from geo_nemo.cli.progress import fetch_bar
    from geo_nemo.store.remote import fetch_store

    if isinstance(store, Path):
        return store
    with fetch_bar(store) as progress:
        return fetch_store(store, progress=progress, tokens=tokens)


@click.command(
    short_help="copy a store to s3://",
    epilog="Example: geo-nemo store push runs/news/store s3://news/store",
)
@click.argument("store", metavar="STORE", type=click.Path(path_type=Path))
@click.argument("address", metavar="S3_ADDRESS")
def push(store: Path, address: str) -> None:
    """Copy a store to object storage, as s3://bucket/folder.

    Each file is compared with the manifest, which goes last: what has one is whole. Stopped and
    started again, it goes on with the files that are not there. AWS's usual variables tell the
    credentials and, as AWS_ENDPOINT_URL, the server.
    """
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.store.remote import push_store

    address = check_address("S3_ADDRESS", address)
    with progress_bar("bytes") as progress:
        moved = push_store(store, address, progress)
    _say_moved(moved, address)


@click.command(
    short_help="copy a store from s3:// to a folder",
    epilog="Example: geo-nemo store pull s3://news/store runs/news/store",
)
@click.argument("address", metavar="S3_ADDRESS")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
def pull(address: str, folder: Path) -> None:
    """Copy a store from object storage to a folder, which is there when it is whole.

    Training and the other commands need no pull: they take s3://bucket/folder as a store, and keep
    a copy of it. Stopped and started again, it goes on with the files that are missing.
    """
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.store.remote import pull_store

    address = check_address("S3_ADDRESS", address)
    with progress_bar("bytes") as progress:
        moved = pull_store(address, folder, progress)
    _say_moved(moved, str(folder))


def _say_moved(moved: "Moved", where: str) -> None:
    told = "was there already" if moved.was_there else "whole"
    click.echo(
        f"{where}: {told}, {plural(moved.documents, 'document')}, {moved.bytes:,} bytes, "
        f"hash {moved.hash}"
    )


def export_sequences(
    store: "TokenStore",
    out: Path,
    policy: "MetadataPolicy",
    split: str,
    where: "Where",
    seq_length: int,
    seed: int,
    sequences_per_shard: int,
) -> None:
    """Write an epoch of packed sequences as shards of webdataset, and say what was written."""
    import numpy as np

    from data_prep.store_tools.policies import policy_words
    from geo_nemo.cli.progress import progress_bar
    from geo_nemo.common.errors import UserError
    from geo_nemo.common.files import check_folder

    try:
        import webdataset  # noqa: F401
    except ImportError:
        raise UserError("--format webdataset needs its package: pip install webdataset") from None
    from geo_nemo.integrations.store_sequences import sequences_of_store
    from geo_nemo.integrations.webdataset_sequences import INDEX, write_sequences

    check_folder(out)
    documents = None
    if where.conditions and split in store.splits:
        matches = where.matcher(store)
        documents = np.flatnonzero(np.concatenate([matches(s) for s in store.shards(split)]))
        if not len(documents):
            raise UserError(f"no document of {split} in {store.root} has {where}")
    options = {"data.seq_length": "--seq-length", "policy:": "--policy:"}
    with as_typed(options):
        sequences = sequences_of_store(
            str(store.root), policy, seq_length, seed, split=split, documents=documents
        )
    about = {
        "store": store.hash,
        "tokenizer_sha256": sequences.tokenizer.sha256,
        "split": split,
        "where": str(where),
        "seed": seed,
        "policy": policy.canonical(),
        "policy_hash": policy.hash(),
    }
    with progress_bar() as progress:
        done = write_sequences(sequences, out, about, sequences_per_shard, progress)
    click.echo(
        f"{plural(done.sequences, 'sequence')} of {seq_length:,} in "
        f"{plural(done.shards, 'shard')}, {done.bytes:,} bytes; {policy_words(policy)}"
    )
    click.echo(out / INDEX)
