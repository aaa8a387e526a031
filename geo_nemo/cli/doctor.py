"""`geo-nemo doctor`: compare this machine with what geo_nemo needs."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from geo_nemo.common.counts import plural
from geo_nemo.common.findings import Finding

EXIT_PROBLEM = 1
COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command(epilog="Example: geo-nemo doctor --output runs --store runs/demo/prep/store")
@click.option(
    "--output", default=".", show_default=True, metavar="DIR", help="Folder that runs write to."
)
@click.option("--store", metavar="DIR", help="A token store to open and check.")
@click.option("--tokenizer", metavar="FILE", help="A tokenizer file to load and check.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(output: str, store: str | None, tokenizer: str | None, as_json: bool) -> int:
    """Compare this machine with what geo_nemo needs.

    Looks at Python, packages, Megatron-Core, GPUs with driver and NCCL, cores, memory, the output's
    disk (rights, locks, speed, clock), the loopback address, InfiniBand, RoCE and EFA with their
    variables, the networks and, in a job, where its processes meet (MASTER_ADDR, MASTER_PORT).
    Exits with 1 when something will not work.
    """
    findings = list(diagnose(Path(output), store, tokenizer))
    clean = all(finding.level != "problem" for finding in findings)
    if as_json:
        shown = {"ok": clean, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(shown, indent=1))
    else:
        Console(highlight=False).print(_table(findings))
    return 0 if clean else EXIT_PROBLEM


def diagnose(
    output: Path, store: str | Path | None = None, tokenizer: str | Path | None = None
) -> Iterator[Finding]:
    """Every finding, one after the other."""
    from geo_nemo.diagnostics.doctor import check_software
    from geo_nemo.diagnostics.limits import check_open_files
    from geo_nemo.diagnostics.machine import check_machine

    yield from check_software()
    yield from check_machine(output)
    yield check_open_files()
    if store is not None:
        yield check_store(store)
    if tokenizer is not None:
        yield check_tokenizer(tokenizer)


def check_tokenizer(path: str | Path) -> Finding:
    """Whether a tokenizer loads and gives a text back."""
    from geo_nemo.config import UserError
    from geo_nemo.tokenizers.load import load_tokenizer

    topic = f"tokenizer {path}"
    try:
        tokenizer = load_tokenizer(path)
    except UserError as error:
        return Finding(topic, "problem", str(error), "give a file that geo-nemo prep takes")
    text = " It rains in Kisumu."
    if tokenizer.decode(tokenizer.encode(text)).strip() != text.strip():
        return Finding(
            topic, "problem", f"does not give {text.strip()!r} back", "use another vocabulary"
        )
    return Finding(topic, "ok", f"{tokenizer.kind}, {tokenizer.vocab_size:,} pieces")


def check_store(path: str | Path) -> Finding:
    """Whether a token store opens, its files have their sizes, and its tokenizer is its own.

    Of one on `s3://` the manifest alone is read: where a training wants its copy, it makes one.
    """
    from geo_nemo.common.addresses import is_remote
    from geo_nemo.config import UserError
    from geo_nemo.diagnostics.limits import too_many_shards
    from geo_nemo.store import TokenStore
    from geo_nemo.store.remote import read_remote_manifest

    topic = f"store {path}"
    if is_remote(path):
        try:
            manifest, _ = read_remote_manifest(str(path))
        except UserError as error:
            mend = "look at the address, AWS_ENDPOINT_URL, the network and the credentials"
            return Finding(topic, "problem", str(error), mend)
        documents = sum(split.documents for split in manifest.splits.values())
        return Finding(
            topic, "ok", f"{plural(documents, 'document')} by its manifest; it is not fetched here"
        )
    try:
        store = TokenStore.open(path)
        tokenizer = store.tokenizer()
    except UserError as error:
        return Finding(topic, "problem", str(error), "prepare it again with geo-nemo prep")
    documents = sum(split.documents for split in store.manifest.splits.values())
    if shortage := too_many_shards(store.manifest):
        return Finding(topic, "problem", *shortage.split(": ", 1))
    return Finding(
        topic,
        "ok",
        f"{plural(documents, 'document')}, "
        f"{plural(len(store.countries), 'country', 'countries')}, {tokenizer.kind} tokenizer of "
        f"{tokenizer.vocab_size:,} pieces; sizes match (geo-nemo store verify reads every byte)",
    )


def _table(findings: list[Finding]) -> Table:
    table = Table(title="geo-nemo doctor", title_justify="left")
    for name in ("", "what", "found", "mend"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.level]
        # Text in brackets, as in geo-nemo[gpu], is no markup.
        table.add_row(
            f"[{colour}]{finding.level}[/{colour}]",
            *(text.replace("[", r"\[") for text in (finding.topic, finding.text, finding.mend)),
        )
    return table
