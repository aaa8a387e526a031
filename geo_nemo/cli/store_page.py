"""The counts of a store as one HTML page with plots, which loads nothing from anywhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from data_prep.store_tools.stats import Bin, Count, StoreStats
from geo_nemo.cli.store_stats import field_words
from geo_nemo.common.counts import plural
from geo_nemo.reporting.html import page
from geo_nemo.reporting.svg import DASHES, MUTED, WIDTHS, bare, colour, inline
from geo_nemo.reporting.tables import short

SHOWN_COUNTRIES = 30
PERCENT = {"0.01": "1%", "0.05": "5%", "0.25": "25%", "0.5": "50%", "0.75": "75%", "0.95": "95%",
           "0.99": "99%"}  # fmt: skip


def stats_page(stats: StoreStats) -> str:
    """The page; the same counts give the same page."""
    years = [count for count in stats.years if count.name != "0"]
    return page(
        Path(__file__).parent,
        "store_page.html.j2",
        title=f"Token store {stats.store}",
        sentence=_sentence(stats),
        sections=_sections(bool(years), len(stats.quality) > 1),
        shown_countries=SHOWN_COUNTRIES,
        splits=[_split(split, stats) for split in stats.splits],
        countries_plot=_countries_plot(stats),
        countries_caption=_countries_caption(stats),
        continents=_continents(stats),
        countries=[
            [c.name, c.continent, *_cells(c, stats.tokens), f"{c.tokens / c.documents:,.0f}"]
            for c in stats.countries
        ],
        years_plot=_years_plot(years) if years else None,
        years_caption=_years_caption(stats),
        years=[["unknown" if c.name == "0" else c.name, *_cells(c, stats.tokens)]
               for c in stats.years],
        lengths_plot=_lengths_plot(stats),
        lengths_caption="Documents by their tokens, four bins a doubling.",
        quantiles=[[PERCENT[fraction], _tokens(n, stats)]
                   for fraction, n in stats.length_quantiles.items()]
        + [["all", f"{stats.longest:,}"]],
        quality_plot=_quality_plot(stats.quality) if len(stats.quality) > 1 else None,
        hosts_sentence=_hosts_sentence(stats),
        hosts=[[c.name, *_cells(c, stats.tokens)] for c in stats.hosts],
        sources=[[c.name, *_cells(c, stats.tokens)] for c in stats.sources],
        fields=[
            (field.name, field_words(field, stats),
             [[c.name, *_cells(c, stats.tokens)] for c in field.top])
            for field in stats.fields
        ],
        about=[
            ["hash", stats.hash],
            ["bytes", f"{stats.bytes:,}"],
            ["tokenizer", f"{stats.tokenizer}, {stats.vocab_size:,} pieces"],
        ],
    )  # fmt: skip


def _sentence(stats: StoreStats) -> str:
    documents = plural(stats.documents, "document")
    countries = plural(len(stats.countries), "country", "countries")
    hosts = plural(stats.num_hosts, "host")
    text = f"{documents} with {short(stats.tokens)} tokens, from {countries} and {hosts}. "
    text += f"Half of the documents have {_tokens(stats.length_quantiles['0.5'], stats)} tokens "
    text += "or fewer"
    most = stats.countries[0]
    if len(stats.countries) > 1:
        text += f"; {most.name} has the most tokens, {most.tokens / stats.tokens:.1%} of all"
    return text + "."


def _sections(years: bool, quality: bool) -> list[tuple[str, str]]:
    found = [("splits", "Splits"), ("places", "Countries")]
    found += [("years", "Years")] if years else []
    found += [("lengths", "Length")]
    found += [("quality", "Quality")] if quality else []
    return [*found, ("hosts", "Hosts, sources, fields"), ("store", "Store")]


def _split(split: Any, stats: StoreStats) -> list[str]:
    titled = f"{split.titled / split.documents:.1%}" if split.documents else ""
    fraction = f"{split.documents / stats.documents:.1%}"
    return [split.name, f"{split.documents:,}", fraction, f"{split.tokens:,}",
            f"{split.title_tokens:,}", titled]  # fmt: skip


def _continents(stats: StoreStats) -> list[list[str]]:
    countries = [count.continent for count in stats.countries]
    return [
        [c.name, f"{countries.count(c.name):,}", *_cells(c, stats.tokens)] for c in stats.continents
    ]


def _countries_plot(stats: StoreStats) -> str:
    shown = stats.countries[:SHOWN_COUNTRIES]
    continents = sorted({count.continent for count in stats.countries})

    def draw(width: str) -> Figure:
        size = (WIDTHS[width], 0.9 + 0.2 * len(shown))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        for number, continent in enumerate(continents):
            rows = [i for i, count in enumerate(shown) if count.continent == continent]
            if rows:
                axes.barh(rows, [shown[i].tokens for i in rows], color=colour(number),
                          height=0.72, label=continent)  # fmt: skip
        for row, count in enumerate(shown):
            axes.annotate(short(count.tokens, "#.3g"), (count.tokens, row), xytext=(3, 0),
                          textcoords="offset points", va="center", fontsize=8)  # fmt: skip
        axes.set_yticks(range(len(shown)), [count.name for count in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.margins(x=0.1)
        axes.set_xlim(left=0)
        axes.set_xlabel("tokens")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
        bare(axes, grid="x")
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=5 if width == "wide" else 3,
                      handletextpad=0.4, columnspacing=1.3, borderaxespad=0.2)  # fmt: skip
        return figure

    return inline("countries", "Tokens by country, in the colour of its continent", draw)


def _countries_caption(stats: StoreStats) -> str:
    hidden = stats.countries[SHOWN_COUNTRIES:]
    if not hidden:
        return "Tokens of titles and bodies by country."
    tokens = sum(count.tokens for count in hidden)
    return (
        f"The {SHOWN_COUNTRIES} countries with most tokens; the other {len(hidden)} have "
        f"{short(tokens)} tokens, {tokens / stats.tokens:.1%} of all."
    )


def _years_plot(years: Sequence[Count]) -> str:
    def draw(width: str) -> Figure:
        figure, axes = plt.subplots(figsize=(WIDTHS[width], 2.5), layout="constrained")
        axes.bar([int(c.name) for c in years], [c.tokens for c in years], color=colour(0),
                 width=0.8)  # fmt: skip
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        _counted(axes, "tokens")
        return figure

    return inline("years", "Tokens by year", draw)


def _years_caption(stats: StoreStats) -> str:
    unknown = next((c for c in stats.years if c.name == "0"), None)
    text = "Tokens by year."
    if unknown is not None:
        fraction = unknown.documents / stats.documents
        number = plural(unknown.documents, "document")
        text += f" The year of {number} ({fraction:.1%}) is not known."
    return text


def _lengths_plot(stats: StoreStats) -> str:
    bins = [b for b in stats.lengths if b.low > 0]

    def draw(width: str) -> Figure:
        figure, axes = plt.subplots(figsize=(WIDTHS[width], 2.6), layout="constrained")
        lows = np.array([b.low for b in bins], float)
        highs = np.array([b.high or 2 * b.low for b in bins], float)
        axes.bar(lows, [b.documents for b in bins], width=(highs - lows) * 0.94, align="edge",
                 color=colour(0))  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.minorticks_off()
        median = stats.length_quantiles["0.5"]
        if median > 0:
            axes.axvline(median, color=MUTED, linewidth=1.2, linestyle=DASHES[1])
            axes.annotate(f"median {median:,}", (median, 1), xycoords=("data", "axes fraction"),
                          xytext=(4, 8), textcoords="offset points", va="top",
                          fontsize=8)  # fmt: skip
        axes.set_xlabel("tokens of a document (logarithmic)")
        _counted(axes, "documents")
        return figure

    return inline("lengths", "Documents by length in tokens", draw)


def _quality_plot(bins: Sequence[Bin]) -> str:
    def draw(width: str) -> Figure:
        figure, axes = plt.subplots(figsize=(WIDTHS[width], 2.4), layout="constrained")
        axes.bar([b.low for b in bins], [b.documents for b in bins], width=4.7, align="edge",
                 color=colour(2))  # fmt: skip
        axes.set_xlim(0, 100)
        axes.set_xlabel("quality score")
        _counted(axes, "documents")
        return figure

    return inline("quality", "Documents by quality score", draw)


def _counted(axes: Any, label: str) -> None:
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short(y)))
    bare(axes, grid="y")


def _hosts_sentence(stats: StoreStats) -> str:
    if len(stats.hosts) == stats.num_hosts:
        return "Every host, most tokens first."
    tokens = sum(count.tokens for count in stats.hosts)
    return (
        f"The {len(stats.hosts)} hosts with most tokens of {stats.num_hosts:,}; they hold "
        f"{tokens / max(stats.tokens, 1):.1%} of all tokens."
    )


def _cells(count: Count, total: int) -> list[str]:
    fraction = count.tokens / total if total else 0
    return [f"{count.documents:,}", f"{count.tokens:,}", f"{fraction:.1%}"]


def _tokens(value: int, stats: StoreStats) -> str:
    return f"{value:,}" + (" or more" if value >= stats.other_lengths_from else "")
