"""Tables of results: cells that a page lays out, or lines of Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cell:
    """text, with a smaller line below it, in the colour of a tone.

    heat: of a heat map, how much of the tone lies behind the text, 0 to 100; None: no heat map.
    """

    text: str
    small: str = ""
    tone: str = ""
    heat: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """head: names of columns. text: how many columns from the left are text; the rest numbers.
    name: class in the style sheet; `compare` is laid out in lines on a phone.
    """

    head: tuple[str, ...]
    rows: list[list[Cell]]
    text: int = 1
    name: str = ""


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a bar inside a cell becomes a slash, which ends no cell, and a line end
    a space, which ends no row."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_within, row))} |" for row in lines)


def _within(cell: str) -> str:
    return cell.replace("|", "/").replace("\n", " ")


def short(value: float, form: str = ".3g") -> str:
    """`1.2M`: three figures and the unit. form: `#.3g` keeps zeros, `1.20M`."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        # What rounds up to the next unit is written in it.
        if float(text := f"{value / size:{form}}") >= 1:
            return text.rstrip(".") + unit
    return f"{value:.0f}"
