"""What a benchmark found: a row a comparison, as a table and as JSON.

The JSON is a list of objects with the fields of `Row`, each with the facts of the machine, so that
a row can be read alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.machine import NOT_INSTALLED
from geo_nemo.common.files import make_folder, write_whole


@dataclass(frozen=True)
class Row:
    """Ours beside one peer.

    metric: by name, as docs/performance.md lists them; case: what tells rows of a metric apart.
    value, peer_value: in `unit`; peer_value is None where the peer could not be measured.
    ratio: above 1 where ours is better, whichever way `unit` counts.
    note: what must be known to read the row; why a peer has no value.
    """

    metric: str
    case: str
    value: float
    unit: str
    peer: str
    peer_value: float | None
    ratio: float | None
    note: str = ""


def compare(
    metric: str,
    value: float,
    unit: str,
    peer: str,
    peer_value: float | None,
    better: Literal["more", "less"],
    case: str = "",
    note: str = "",
    reason: str = NOT_INSTALLED,
) -> Row:
    """A row with its ratio.

    better: whether a larger or a smaller value is the better one.
    reason: the note where `peer_value` is None.
    """
    if peer_value is None:
        return Row(metric, case, value, unit, peer, None, None, reason)
    first, second = (value, peer_value) if better == "more" else (peer_value, value)
    ratio = first / second if second else None
    return Row(metric, case, value, unit, peer, peer_value, ratio, note)


def to_json(rows: Sequence[Row], machine: dict[str, Any]) -> bytes:
    return orjson.dumps(
        [asdict(row) | {"machine": machine} for row in rows], option=orjson.OPT_INDENT_2
    )


def write_json(path: Path, rows: Sequence[Row], machine: dict[str, Any]) -> None:
    """Write `path`, whole or not at all."""
    make_folder(path.parent)
    write_whole(path, to_json(rows, machine) + b"\n")


def print_table(title: str, rows: Sequence[Row], machine: dict[str, Any], console: Console) -> None:
    """The rows, and their notes by number below."""
    table = Table(title=title)
    table.add_column("metric", no_wrap=True)
    table.add_column("case", overflow="fold")
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("peer", overflow="fold")
    for name in ("peer's", "ratio", "note"):
        table.add_column(name, justify="right", no_wrap=True)
    notes = list(dict.fromkeys(row.note for row in rows if row.note))
    for row in rows:
        table.add_row(
            row.metric, row.case, figure(row.value), row.unit, row.peer, figure(row.peer_value),
            "-" if row.ratio is None else f"{figure(row.ratio)}x",
            str(notes.index(row.note) + 1) if row.note else "",
        )  # fmt: skip
    console.print(table)
    for number, note in enumerate(notes, start=1):
        console.print(f"{number:>3}  {note}", markup=False, highlight=False)
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    console.print(f"\n{facts}", markup=False, highlight=False)


def figure(value: float | None) -> str:
    """Three significant figures, without exponents: 0.0123, 12.3, 12,300."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    shown = float(f"{value:.3g}")
    return f"{shown:,.0f}" if abs(shown) >= 100 else f"{shown:.3g}"
