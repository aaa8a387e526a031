"""Whose documents an export was trained on: hosts and countries, where the run's store is here."""

from collections.abc import Sequence
from pathlib import Path

from geo_nemo.common.addresses import is_remote
from geo_nemo.config import UserError
from geo_nemo.export.source import Source
from geo_nemo.store import TokenStore
from geo_nemo.train.hosts import HostCount, trained_hosts

NAME = "hosts.csv"
SHOWN = 20


def hosts_of(source: Source) -> list[HostCount] | None:
    """Most tokens of text first; None where the store or the run's indices are not at hand.

    Indices are not where the package of the run's packing is not, by whose version they are named.
    """
    store = source.run.data.store
    if is_remote(source.place) or is_remote(store):
        return None
    folder = Path(source.place).resolve().parents[1]
    run = source.run.model_copy(update={"output_dir": str(folder)})
    try:
        opened = TokenStore.open(store)
        if opened.hash != source.record["fingerprint"].get("store"):
            return None
        return trained_hosts(run, opened, source.step, source.record.get("skipped", []))
    except UserError:
        return None


def by_host(found: Sequence[HostCount] | None) -> str:
    """A section of the model card."""
    if found is None:
        return (
            "Not told: the run's store or its packing index was not at hand when this was "
            "exported. `geo-nemo export` tells them where both are."
        )
    hosts = len({each.host for each in found})
    rows = [
        f"`{NAME}` has all {hosts:,} hosts of this run's documents; most tokens of text have:",
        "",
        "| host | country | documents | tokens of text |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {each.host} | {each.country} | {each.documents:,} | {each.text_tokens:,} |"
        for each in found[:SHOWN]
    ]
    return "\n".join(rows)
