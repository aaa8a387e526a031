"""The law's section in docs/experiments.md, and its plot."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.experiment.page import told
from benchmarks.experiment.plots import STYLE, save
from benchmarks.law.fit import TERMS, Error, Law, fit, left_out, of_source, upwards
from benchmarks.law.rows import OUTCOMES, Row
from geo_nemo.common.errors import UserError
from geo_nemo.reporting.tables import markdown

Laws = Mapping[str, Law]
NAME = "law"
PLOT = "law.svg"
# Sizes of arXiv 2601.15236, embeddings included (vocabulary of 128,256, untied), and its tokens.
PREDICTED = {"0.5B": 403e6 + 2 * 128_256 * 1024, "1B": 1_347_487_744}
TOKENS = 41.9e9
SHARES = {
    "the usual stages": (0.0, 0.2),
    "a quarter told nothing": (0.25, 0.2),
    "half told nothing": (0.5, 0.2),
    "MeCo's cooldown": (0.0, 0.1),
}
# Parameters x tokens from which on the beginning is over: seven times what it fades with.
LATE = 1e12
# Run when the form of the law was known, each on seeds or of a size of its own.
FRESH = ("longer_confirm", "larger", "largest")
MEANING = {
    "gain": "told the truth, against an ordinary model on bare text",
    "deficit": "told nothing, on bare text, against the same",
}


def laws_of(rows: Sequence[Row]) -> Laws:
    """The law of each outcome; `UserError` where the runs do not tell its terms apart."""
    return {outcome: fit(rows, outcome) for outcome in OUTCOMES}


def tables(rows: Sequence[Row], laws: Laws) -> list[str]:
    """What is printed and what the page shows: coefficients, errors, predictions."""
    terms = [
        (term, *(told(*law.interval(n)) for law in laws.values()))
        for n, term in enumerate(TERMS)
    ]  # fmt: skip
    terms.append(("fades with", *(_compute(law) for law in laws.values())))
    errors = []
    for outcome in OUTCOMES:
        apart: dict[str, Callable[[], Error]] = {
            "each size left out": partial(left_out, rows, outcome),
            f"each size of {LATE:.0e} or more": partial(left_out, rows, outcome, LATE),
            "the largest, from the smaller": partial(upwards, rows, outcome),
        }
        for source in _fresh(rows):
            apart[f"`{source}`, from the others"] = partial(of_source, rows, outcome, source)
        errors += [(outcome, words, *_error_cells(error)) for words, error in apart.items()]
    predicted = [
        (size, words, *(_predicted(law, parameters, *shares) for law in laws.values()))
        for size, parameters in PREDICTED.items()
        for words, shares in SHARES.items()
    ]
    return [
        markdown(("term", *OUTCOMES), terms),
        markdown(("of", "runs left out", "error", "error of the mean", "in the interval"), errors),
        markdown(("size", "stages", *OUTCOMES), predicted),
    ]


def _fresh(rows: Sequence[Row]) -> list[str]:
    """Those of `FRESH` that have runs."""
    return [source for source in FRESH if any(row.source == source for row in rows)]


def _compute(law: Law) -> str:
    value, low, high = law.fades_between()
    return f"{value:.2g} [{low:.2g}, {high:.2g}] parameters x tokens"


def _error_cells(of: Callable[[], Error]) -> tuple[str, str, str]:
    try:
        error = of()
    except UserError:
        return "too few sizes", "", ""
    return f"{error.law:.2%}", f"{error.mean:.2%}", f"{error.covered} of {error.count}"


def _predicted(law: Law, parameters: float, dropout: float, cooldown: float) -> str:
    return told(*law.predict(parameters, TOKENS, dropout, cooldown))


def section(rows: Sequence[Row], laws: Laws, shown: Sequence[str]) -> str:
    """The section in Markdown. shown: the `tables`."""
    terms, errors, predicted = shown
    sizes = ", ".join(
        f"{p:,} parameters and {t:,} tokens" for p, t in sorted({r.size for r in rows})
    )
    counts = ", ".join(
        f"{sum(row.source == source for row in rows)} of `{source}`"
        for source in dict.fromkeys(row.source for row in rows)
    )
    fresh = ""
    if sources := _fresh(rows):
        told_apart = ", ".join(f"`{source}`" for source in sources)
        fresh = f"; when the form of the law stood on this page, {told_apart} had not been run"
    beyond = math.log10(PREDICTED["0.5B"] / max(row.parameters for row in rows))
    return f"""## {NAME}

**How do deficit and gain move with dropout, cooldown, tokens and parameters?**

`python -m benchmarks {NAME}` fits, by least squares, the change in nats a token as a sum of what
stays in the end, of what is more at the beginning, times exp(-C / c) where C is parameters times
tokens, and of shares of dropout and of the last stage; a run weighs by the inverse of its variance,
which is fitted with it as a power of C. It is fitted to {len(rows)} conditioned runs
({counts}), each beside the ordinary run of its seed and size. Gain: {MEANING["gain"]}; deficit:
{MEANING["deficit"]}. Below 0 is better. Standard errors are clustered by ordinary run, intervals
are 95%.

{terms}

A term is the change of perplexity for one more of it; for dropout and cooldown, for a share of 1 (a
tenth of it for a tenth). This form was chosen on 30 November 2026, when 85 runs were known, for it
has an end. With logarithms of parameters and tokens a model of 1B would lose more than half of its
perplexity to its metadata; with inverses of both one that is told nothing would be 3% better than
an ordinary one. Weights came on 1 December, when all but `largest` and two seeds of `larger` were
known: without them the runs of the beginning, which scatter most, decided of the end, and no
deficit was seen there. A run of the largest size scatters by {laws["gain"].spread:.2%} (gain) and
{laws["deficit"].spread:.2%} (deficit), and with the powers {laws["gain"].power:.2f} and
{laws["deficit"].power:.2f} of parameters x tokens.

Error on runs that the law has not seen, beside that of the mean of the others, which knows nothing
of size or stages{fresh}:

{errors}

Written down before anyone ran them, for one run of arXiv 2601.15236's sizes on
{TOKENS / 1e9:.1f}B tokens, with the interval that a run would lie in. They lie {beyond:.1f} powers
of ten beyond what was measured, on another corpus, and an interval knows nothing of what may begin
between:

{predicted}

![Measured change of every run against what the law says of it](experiments/{PLOT})

Sizes: {sizes}.
"""


def draw(rows: Sequence[Row], laws: Laws, path: Path) -> None:
    """A panel an outcome: what the law says and what was measured, a dot a run, a colour a size;
    under it that of late runs alone, which lie close together.
    """
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    shown = [("all", rows)]
    late = [row for row in rows if row.compute >= LATE]
    if 0 < len(late) < len(rows):
        shown.append((f"{LATE:.0e} parameters x tokens or more", late))
    size = 7.6, 0.6 + 3 * len(shown)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(len(shown), len(OUTCOMES), figsize=size,
                                      layout="constrained", squeeze=False)  # fmt: skip
        for line, (words, chosen) in zip(panels, shown, strict=True):
            for axes, (outcome, law) in zip(line, laws.items(), strict=True):
                _draw_panel(axes, law, chosen, outcome, rows)
                axes.set_title(f"{outcome}, {words}", fontsize=9.5, loc="left", fontweight="bold")
            line[0].set_ylabel("measured, %")
        for axes in panels[-1]:
            axes.set_xlabel("by the law, %")
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper left", ncols=3,
                      frameon=False)  # fmt: skip
        save(figure, path)


def _draw_panel(
    axes: Any, law: Law, shown: Sequence[Row], outcome: str, rows: Sequence[Row]
) -> None:
    """rows: all of the figure, whose sizes have colours."""
    ends: list[float] = []
    for number, size in enumerate(sorted({row.size for row in rows})):
        chosen = [row for row in shown if row.size == size]
        if not chosen:
            continue
        said = [law.predict(r.parameters, r.tokens, r.dropout, r.cooldown)[0] for r in chosen]
        across = [100 * math.expm1(value) for value in said]
        upright = [100 * math.expm1(row.change[outcome]) for row in chosen]
        label = f"{size[0] / 1e6:.2f}M, {size[1] / 1e6:.1f}M tokens"
        axes.plot(across, upright, "o", ms=3.5, color=f"C{number}", label=label)
        ends += [*across, *upright]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#888888", lw=0.8)
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
