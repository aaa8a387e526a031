"""What the stages left behind, read from their logs, as a section of docs/performance.md."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from geo_nemo.common.parse import parse_json

# What tests and probes print of what they measured, each on a line of its own.
_FIGURE = re.compile(r"^figure: (.*\S)", re.MULTILINE)
_COUNTS = re.compile(r"(\d+) (passed|failed|skipped|error)s?\b")
# Around what pytest and tables of the command line say.
_FRAME = re.compile(r"={2,}|[\u2500-\u257f]")
MACHINE = "machine"
COLUMNS = ("metric", "case", "value", "unit", "peer", "peer_value", "ratio", "note")


@dataclass(frozen=True)
class Outcome:
    """status: passed, failed, timed out or left out. said: its last line. counts: of tests.

    figures: lines that it printed of what it measured.
    """

    stage: str
    status: str
    seconds: float
    limit: int
    said: str
    counts: dict[str, int] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)


def told(log: Path) -> dict:
    """`said`, `counts` and `figures` of an outcome, from the stage's log."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if any(map(str.isalnum, line))]
    said = " ".join(_FRAME.sub(" ", lines[-1]).split())[:300] if lines else ""
    counts = {kind: int(number) for number, kind in _COUNTS.findall(said)}
    return {"said": said, "counts": counts, "figures": _FIGURE.findall(text)}


def speeds(out: Path) -> list[dict]:
    """Rows of `benchmarks gpu`, as far as that stage came."""
    path = out / "gpu.json"
    try:
        rows = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def summary(outcomes: list[Outcome], date: str, dry: bool, rows: list[dict]) -> str:
    """Markdown: the machine, a table of the stages, figures of tests, and the speeds."""
    title = "Emulated GPU: nothing here is a speed" if dry else "One GPU"
    lines = [f"## {title} (`make gpu-report`, {date})", ""]
    lines += [f"Machine: {each.said}.\n" for each in outcomes
              if each.stage == MACHINE and each.status == "passed"]  # fmt: skip
    lines += _table(
        ("stage", "outcome", "seconds (limit)", "what it said last"),
        [(each.stage, each.status, f"{each.seconds:.0f} ({each.limit})", each.said)
         for each in outcomes],
    )  # fmt: skip
    measured = [(each.stage, figure) for each in outcomes for figure in each.figures]
    if measured:
        lines += ["", *_table(("stage", "measured"), measured)]
    if rows:
        shown = [tuple(_cell(row.get(name)) for name in COLUMNS) for row in rows]
        lines += ["", *_table(COLUMNS, shown)]
    return "\n".join(lines) + "\n"


def _table(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """A bar in a cell would be another column."""
    return [
        f"| {' | '.join(names)} |",
        "|---" * len(names) + "|",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
