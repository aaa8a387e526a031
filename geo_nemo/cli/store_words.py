"""What `geo-nemo store verify` and `merge` say on a terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_prep.store_tools.duplicates import REASONS
from data_prep.store_tools.merge import Merged
from geo_nemo.common.counts import plural
from geo_nemo.store.manifest import Manifest, mend
from geo_nemo.store.verify import Damage

NAMED_SHARDS = 5


def whole_line(manifest: Manifest) -> str:
    """What a whole store holds."""
    splits = manifest.splits.values()
    columns = [file for split in splits for shard in split.shards for file in shard.files.values()]
    size = sum(file.bytes for file in columns) + manifest.hosts.bytes
    documents = sum(split.documents for split in splits)
    shards = sum(len(split.shards) for split in splits)
    return f"whole, {plural(documents, 'document')} in {plural(shards, 'shard')}, {size:,} bytes"


def broken_line(store: Path, manifest: Manifest, damage: Sequence[Damage]) -> str:
    """Which shards are broken, and what to do about it."""
    shards = {shard.path for split in manifest.splits.values() for shard in split.shards}
    broken = sorted({str(Path(each.file).parent) for each in damage} & shards)
    if not broken:
        return f"{store}: {damage[0].file} is broken; {mend(store)}"
    named = ", ".join(broken[:NAMED_SHARDS]) + (", ..." if broken[NAMED_SHARDS:] else "")
    return f"{store}: {len(broken)} of {len(shards)} shards broken ({named}); {mend(store)}"


def print_merge(merged: Merged, console: Console) -> None:
    """What each store gave to each split, and what was left out."""
    table = Table(title="Merged", title_justify="left")
    for name in ("store", "split"):
        table.add_column(name)
    for name in ("kept", "same text", "held out elsewhere"):
        table.add_column(name, justify="right")
    for line in merged.splits:
        dropped = [f"{line.dropped.get(name, 0):,}" for name in REASONS.values()]
        table.add_row(escape(line.store), line.split, f"{line.kept:,}", *dropped)
    table.add_section()
    totals = [sum(line.dropped.get(name, 0) for line in merged.splits) for name in REASONS.values()]
    kept = sum(line.kept for line in merged.splits)
    table.add_row("all", "", f"{kept:,}", *(f"{total:,}" for total in totals))
    console.print(table)
    taken = plural(merged.shards_taken, "shard")
    console.print(f"{taken} taken whole, {merged.shards_copied:,} copied in part")
