"""The counts of a store as tables on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_prep.store_tools.fields import FieldCount, ValueCount
from data_prep.store_tools.stats import Bin, Count, StoreStats
from geo_nemo.common.counts import plural

BAR = 30
BLOCKS = " ▏▎▍▌▋▊▉█"


def print_stats(stats: StoreStats, console: Console, top: int) -> None:
    """All tables. top: countries to name; the others are one line."""
    console.print(_summary(stats))
    console.print(_counts("Splits", "split", stats.splits))
    if len(stats.sources) > 1:
        console.print(_counts("Sources", "source", stats.sources))
    named = f", {len(stats.hosts)} of {stats.num_hosts:,}" if stats.hosts else ""
    if stats.hosts:
        console.print(_counts(f"Hosts{named}", "host", stats.hosts, stats.tokens))
    console.print(_countries(stats, top))
    console.print(_counts("Continents", "continent", stats.continents))
    if [count.name for count in stats.years] != ["0"]:
        console.print(_years(stats.years))
    for field in stats.fields:
        # Years say more of dates, and a number or text has a line for each document.
        if field.kind == "category" and field.documents:
            console.print(_field(field, stats))
    if len(stats.quality) > 1:
        console.print(_histogram("Quality", stats.quality))
    console.print(_histogram("Tokens of a document", octaves(stats.lengths)))


def octaves(bins: Sequence[Bin]) -> list[Bin]:
    """Bins joined to 0, 1, 2 to 3, 4 to 7 and so on, from the first to the last with documents."""
    joined: dict[int, int] = {}
    for each in bins:
        octave = each.low.bit_length()
        joined[octave] = joined.get(octave, 0) + each.documents
    return [
        Bin(low=(1 << o) // 2, high=1 << o, documents=joined.get(o, 0))
        for o in range(min(joined), max(joined) + 1)
    ]


def _summary(stats: StoreStats) -> Table:
    table = Table(title=escape(stats.store), title_justify="left", show_header=False)
    lengths = stats.length_quantiles
    for name, value in (
        ("documents", f"{stats.documents:,}"),
        ("tokens of titles and bodies", f"{stats.tokens:,}"),
        ("countries, hosts", f"{len(stats.countries):,}, {stats.num_hosts:,}"),
        ("tokens of a document", f"median {lengths['0.5']:,}, 5% to 95% {lengths['0.05']:,} to "
                                 f"{lengths['0.95']:,}, longest {stats.longest:,}"),
        ("with a title", f"{sum(s.titled for s in stats.splits) / stats.documents:.1%}"),
        ("tokenizer", f"{stats.tokenizer}, {stats.vocab_size:,} pieces"),
        ("bytes, hash", f"{stats.bytes:,}, {stats.hash}"),
    ):  # fmt: skip
        table.add_row(name, escape(value))
    return table


def _counts(
    title: str, column: str, counts: Sequence[Count | ValueCount], of: int | None = None
) -> Table:
    table = _table(title, column)
    total = of if of is not None else sum(count.tokens for count in counts)
    for count in counts:
        table.add_row(escape(count.name), *_cells(count, total))
    return table


def _countries(stats: StoreStats, top: int) -> Table:
    table = _table("Countries", "country", "continent")
    # One more line says no more than "1 other" would.
    shown = stats.countries[: top if len(stats.countries) > top + 1 else None]
    for count in shown:
        table.add_row(count.name, count.continent, *_cells(count, stats.tokens))
    others = stats.countries[len(shown) :]
    if others:
        rest = Count(
            name="",
            documents=sum(count.documents for count in others),
            tokens=sum(count.tokens for count in others),
        )
        table.add_row(f"{len(others)} others", "", *_cells(rest, stats.tokens), style="dim")
    return table


def _years(years: Sequence[Count]) -> Table:
    table = _table("Years", "year")
    total = sum(count.tokens for count in years)
    for count in years:
        table.add_row("unknown" if count.name == "0" else count.name, *_cells(count, total))
    return table


def _field(field: FieldCount, stats: StoreStats) -> Table:
    table = _counts(f"Field {field.name}", field.name, field.top, stats.tokens)
    table.caption = field_words(field, stats)
    table.caption_justify = "left"
    return table


def field_words(field: FieldCount, stats: StoreStats) -> str:
    """Of how many documents a field is known, and how many values it has."""
    known = f"{field.kind}: {field.documents / stats.documents:.1%} of the documents have it"
    if not field.values:
        return f"{known}; its values are not numbered"
    several = ", some of them several values" if field.many else ""
    more = f", the first {len(field.top)} of them here" if len(field.top) < field.values else ""
    return f"{known}{several}; {plural(field.values, 'value')}{more}"


def _histogram(title: str, bins: Sequence[Bin]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("from", justify="right")
    table.add_column("below", justify="right")
    table.add_column("documents", justify="right")
    table.add_column("", min_width=BAR)
    most = max(each.documents for each in bins)
    for each in bins:
        high = "" if each.high is None else f"{each.high:,}"
        bar = _bar(each.documents / most)
        table.add_row(f"{each.low:,}", high, f"{each.documents:,}", bar)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column)
    for name in ("documents", "tokens", "share of tokens"):
        table.add_column(name, justify="right")
    return table


def _cells(count: Count | ValueCount, total: int) -> tuple[str, str, str]:
    fraction = count.tokens / total if total else 0
    return f"{count.documents:,}", f"{count.tokens:,}", f"{fraction:.1%}"


def _bar(fraction: float) -> str:
    eighths = round(fraction * BAR * 8)
    eighths = max(eighths, 1) if fraction else 0
    return "█" * (eighths // 8) + (BLOCKS[eighths % 8] if eighths % 8 else "")
