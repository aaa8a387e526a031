"""The shapes of a card's figures: widths and heights in percent, for the page to draw.

Bars and columns are plain HTML: they take the page's width and colours, their texts keep their
size on a phone, and nothing is needed to draw them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from data_prep.card.data import LENGTH_BINS, CardData
from data_prep.card.profile import length_edge
from data_prep.card.sentences import count, fraction, total, visible
from geo_nemo.common.counts import plural
from geo_nemo.reporting.tables import short
from geo_nemo.store.manifest import SPLITS

MOST_COLUMNS = 60
MOST_BARS = 12
_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """One horizontal bar: its name, its figure, and the width of each segment in percent."""

    name: str
    figure: str
    note: str
    widths: tuple[float, ...]


@dataclass(frozen=True)
class Column:
    """One upright column: what it says when pointed at, and the height of each segment."""

    title: str
    heights: tuple[float, ...]
    tick: str


@dataclass(frozen=True)
class Columns:
    """Columns side by side; `top` is the figure at full height. label: for screen readers."""

    label: str
    top: str
    columns: tuple[Column, ...]


def bars(counts: dict[str, int], most: int = MOST_BARS) -> list[Bar]:
    """A bar for each of the largest, and one for all others together."""
    if not counts:
        return []
    whole = sum(counts.values())
    shown = list(counts.items())[:most] if len(counts) > most + 1 else list(counts.items())
    others = whole - sum(number for _, number in shown)
    longest = max(number for _, number in shown)
    found = [_bar(visible(name), number, whole, longest) for name, number in shown]
    if others:
        name = f"{len(counts) - len(shown):,} others"
        found.append(_bar(name, others, whole, max(longest, others)))
    return found


def language_rates(data: CardData) -> dict[str, str]:
    """Tokens a byte of text, by language, where both are known."""
    return {
        name: f"{found.tokens / found.text_bytes:.3f}"
        for name, found in data.languages.items()
        if found.tokens is not None and found.text_bytes
    }


def funnel(data: CardData) -> list[Bar]:
    """What is left after each step, and what the step dropped beside it."""
    left = data.found
    found = [Bar("Records", count(left), "", (100.0, 0.0))]
    for step in data.steps:
        if step.total:
            dropped = step.total
            left -= dropped
            found.append(
                Bar(
                    step.name,
                    count(left),
                    f"\u2212{count(dropped)} ({fraction(dropped, left + dropped)})",
                    (_percent(left, data.found), _percent(dropped, data.found)),
                )
            )
    return found


def year_columns(data: CardData) -> Columns | None:
    """Documents by year, of a few years together where there are many."""
    known = sorted(int(year) for year in total(data, "years") if year != "0")
    if len(known) < 2:
        return None
    first, last = known[0], known[-1]
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if (last - first) // s < MOST_COLUMNS)
    starts = range(first - first % step, last + 1, step)
    stacks = [
        tuple(
            sum(data.splits[split].years.get(str(year), 0) for year in range(start, start + step))
            for split in SPLITS
        )
        for start in starts
    ]
    names = [str(start) if step == 1 else f"{start}\u2013{start + step - 1}" for start in starts]
    ticks = [str(start) for start in starts]
    return _columns("Documents by year", names, _every(ticks), stacks)


def length_columns(data: CardData) -> Columns | None:
    """Documents by length, in bins that are twice as wide every second time."""
    stacks = list(zip(*(data.splits[split].lengths for split in SPLITS), strict=True))
    some = [number for number, stack in enumerate(stacks) if sum(stack)]
    if not some:
        return None
    shown = range(some[0], some[-1] + 1)
    edges = [length_edge(number) for number in range(LENGTH_BINS)]
    names = [
        f"{edges[k]:,} to {edges[k + 1] - 1:,} characters"
        if k + 1 < LENGTH_BINS
        else f"{edges[k]:,} characters or more"
        for k in shown
    ]
    # Every second power of two, so that neighbours differ by as much everywhere.
    ticks = [f"{edges[k]:,}" if k % 4 == 0 else "" for k in shown]
    return _columns("Documents by length", names, ticks, [stacks[k] for k in shown])


def quality_columns(data: CardData) -> Columns | None:
    """Documents by quality, two points together."""
    stacks = list(zip(*(data.splits[split].quality for split in SPLITS), strict=True))
    if not any(map(sum, stacks)):
        return None
    pairs = [stacks[k : k + 2] for k in range(0, 100, 2)]
    pairs[-1].append(stacks[100])
    joined = [tuple(map(sum, zip(*pair, strict=True))) for pair in pairs]
    names = [f"quality {k} to {k + 1 if k < 98 else 100}" for k in range(0, 100, 2)]
    ticks = [str(k) if k % 20 == 0 else "" for k in range(0, 100, 2)]
    return _columns("Documents by quality", names, ticks, joined)


def cluster_columns(data: CardData) -> Columns | None:
    """Documents in each of the largest clusters, in order."""
    if data.clusters is None or not data.clusters.largest:
        return None
    ranks = [str(rank) for rank in range(1, len(data.clusters.largest) + 1)]
    names = [f"cluster {rank}" for rank in ranks]
    return _columns(
        "Documents in the largest clusters", names, ranks, [(n,) for n in data.clusters.largest]
    )


def _columns(
    label: str, names: Sequence[str], ticks: Sequence[str], stacks: Sequence[tuple[int, ...]]
) -> Columns:
    highest = max(map(sum, stacks))
    found = tuple(
        Column(
            f"{name}: {plural(sum(stack), 'document')}",
            tuple(_percent(part, highest) for part in stack),
            tick,
        )
        for name, tick, stack in zip(names, ticks, stacks, strict=True)
    )
    return Columns(label, short(highest), found)


def _every(ticks: Sequence[str]) -> list[str]:
    """As many of the ticks as there is room for."""
    step = -(-len(ticks) // _TICKS)
    return [tick if place % step == 0 else "" for place, tick in enumerate(ticks)]


def split_bar(parts: Sequence[int], longest: int) -> tuple[float, ...]:
    """Widths of a country's splits; together they are its fraction of the longest."""
    return tuple(_percent(part, longest) for part in parts)


def _bar(name: str, number: int, whole: int, longest: int) -> Bar:
    return Bar(name, count(number), fraction(number, whole), (_percent(number, longest),))


def _percent(part: int, whole: int) -> float:
    """Two decimals, so that a page does not depend on how a machine rounds."""
    return round(100 * part / whole, 2) if whole else 0.0


def median_length(data: CardData) -> str:
    """The bin of lengths that the middle document is in, as its limits."""
    counts = [sum(found) for found in zip(*(s.lengths for s in data.splits.values()), strict=True)]
    half, seen = sum(counts) / 2, 0
    for (low, high), number in zip(
        pairwise(length_edge(k) for k in range(LENGTH_BINS + 1)), counts, strict=True
    ):
        seen += number
        if number and seen >= half:
            return f"{low:,} to {high - 1:,}"
    return "0"
