"""The headline and the matrix for a terminal."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from eval.report import tables
from eval.report.findings import findings
from eval.report.lead import lead

COLOURS = {"good": "green", "bad": "yellow", "flat": "default"}


def headline(evaluation: dict[str, Any]) -> Group:
    """The lead and its table."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("question", ratio=3)
    table.add_column("answer", ratio=2)
    table.add_column("figures", justify="right", ratio=3)
    for line in findings(evaluation):
        answer = Text(line.answer.text, style=COLOURS[line.answer.tone])
        table.add_row(line.question, answer, f"{line.figures}\n{line.detail}")
    return Group(Text(" ".join(lead(evaluation)), style="bold"), Text(), table)


def matrix(evaluation: dict[str, Any]) -> Group:
    """Perplexity of body and title by run and condition."""
    parts = []
    for part in tables.part_tables(evaluation):
        table = Table(title=f"{part['name']}, perplexity", title_justify="left")
        for number, name in enumerate(part["matrix"].head):
            table.add_column(name, justify="left" if number == 0 else "right")
        for row in part["matrix"].rows:
            table.add_row(*(f"{cell.text}\n{cell.small}" for cell in row))
        parts.append(table)
    return Group(*parts)
