"""Answers as a page with plots, and beside it as CSV, JSON and Markdown."""

import csv
import io
import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import compress
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from eval.analyses.efficiency import NEVER
from eval.analyses.questions import QUESTIONS, Line, Question
from eval.analyses.study import Study, ratio
from eval.forms import write_forms
from eval.report.sentences import NO_INTERVAL, interval, percent
from geo_nemo.common.counts import plural
from geo_nemo.reporting import tables
from geo_nemo.reporting.html import page as render
from geo_nemo.reporting.svg import MUTED, WIDTHS, bare, colour, inline

FRACTION = "share of tokens saved"
VERDICTS = {-1: "better", 0: "no clear difference", 1: "worse"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, and the lines that runs were there for."""

    question: Question
    lines: tuple[Line, ...]


def answers(study: Study, names: Sequence[str] = ()) -> list[Answer]:
    """Of the questions of these names, or of all."""
    return [Answer(q, tuple(q.answer(study))) for n, q in QUESTIONS.items() if n in (names or (n,))]


def verdict(line: Line) -> str:
    """What the line's interval says of its first run."""
    estimate = line.estimate
    if estimate.low is None:
        return NO_INTERVAL
    return VERDICTS[-estimate.sign if line.unit == FRACTION else estimate.sign]


def shown(line: Line, value: float | None) -> str:
    """A figure of the line for people: a change of perplexity, or a share."""
    if value is None:
        return ""
    if line.unit == FRACTION:
        return "never reached" if value == NEVER else f"{value:.1%}"
    return percent(ratio(value))


def write(study: Study, found: Sequence[Answer], folder: Path) -> list[Path]:
    """`analyses.html`, `.md`, `.csv` and `.json` in `folder`; the files."""
    contents = {
        "html": page(study, found),
        "md": markdown(study, found),
        "csv": _csv(found),
        "json": json.dumps([*_records(found)], indent=1, allow_nan=False) + "\n",
    }
    return write_forms(folder, "analyses", contents)


HEAD = ("of", "against", "on", "change", "verdict", "interval", "mixed model", "seeds", "documents")


def table(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """Names of columns, and a line of text a comparison; without columns that say nothing."""
    rows = [
        [line.of, line.against, line.tested_on, shown(line, line.estimate.value), verdict(line),
         interval(line.estimate.low, line.estimate.high, partial(shown, line)), _mixed(line),
         str(line.estimate.seeds), f"{line.estimate.documents:,}"]
        for line in answer.lines
    ]  # fmt: skip
    said = [any(row[place] for row in rows) for place in range(len(HEAD))]
    return list(compress(HEAD, said)), [list(compress(row, said)) for row in rows]


TONES = {-1: "good", 0: "flat", 1: "bad"}


def laid_out(answer: Answer) -> tables.Table:
    """The same for a page, in as few columns as fit beside each other on a desk and a phone."""
    has_mixed = any(map(_mixed, answer.lines))
    rows = []
    for line in answer.lines:
        low, high = line.estimate.low, line.estimate.high
        sign = -line.estimate.sign if line.unit == FRACTION else line.estimate.sign
        number = f"{plural(line.estimate.seeds, 'seed')}, "
        number += plural(line.estimate.documents, "document")
        row = [
            tables.Cell(line.of, f"against {line.against}, on {line.tested_on}; {number}"),
            tables.Cell(verdict(line), tone=TONES[sign] if low is not None else ""),
            tables.Cell(
                shown(line, line.estimate.value), interval(low, high, partial(shown, line))
            ),
        ]  # fmt: skip
        rows.append(row + [tables.Cell(_mixed(line), "mixed model")] * has_mixed)
    head = ("compared", "verdict", "change", *["mixed model"] * has_mixed)
    return tables.Table(head, rows, text=2, name="compare")


def _mixed(line: Line) -> str:
    """The interval of the mixed model, where there are several seeds."""
    low, high = line.estimate.mixed_low, line.estimate.mixed_high
    return "" if low is None else interval(low, high, partial(shown, line))


def about(study: Study) -> str:
    """What the figures are, in a sentence or two."""
    config, documents = study.first.record["config"], study.first.record["documents"]
    tokens = f", at most {config['max_tokens']:,} tokens each" if config["max_tokens"] else ""
    return (
        f"{plural(documents['scored'], 'document')} of split {documents['split']}{tokens}. "
        f"Perplexity of {'bodies' if study.part == 'body' else 'titles'}. A change below 0: the "
        f"first predicts better. Intervals ({study.confidence:.0%}) are over training seeds where "
        "there are several, else over documents; those of the mixed model are over seeds and "
        "documents at once. They are not corrected for their number."
    )


def markdown(study: Study, found: Sequence[Answer]) -> str:
    parts = ["# Analyses", about(study)]
    for answer in found:
        parts += [f"## {answer.question.asks}"]
        if not answer.lines:
            parts.append(f"No runs for it: it takes {answer.question.needs}.")
            continue
        parts.append(tables.markdown(*table(answer)))
    return "\n\n".join(parts) + "\n"


def page(study: Study, found: Sequence[Answer]) -> str:
    """One HTML page that loads nothing from anywhere."""
    return render(
        Path(__file__).parent,
        "page.html.j2",
        title="Analyses",
        about=about(study),
        sections=[
            {"name": a.question.name, "asks": a.question.asks, "needs": a.question.needs,
             "table": laid_out(a) if a.lines else None, "plot": forest(a)}
            for a in found
        ],
        evaluations=sorted({str(m.evaluated.folder) for m in study.members}),
        runs=plural(len(study.members), "run"),
    )  # fmt: skip


def forest(answer: Answer) -> str | None:
    """Each comparison as a point with its interval; None without any."""
    lines = [line for line in answer.lines if line.estimate.value != NEVER]
    if not lines:
        return None
    fraction = lines[0].unit == FRACTION

    def scaled(value: float | None) -> float | None:
        return None if value is None else 100 * (value if fraction else (ratio(value) or 0) - 1)

    def draw(width: str) -> Figure:
        figure, axes = plt.subplots(
            figsize=(WIDTHS[width], 0.8 + len(lines) * (0.36 if width == "wide" else 0.5)),
            layout="constrained",
        )
        for place, line in enumerate(lines):
            low, high = scaled(line.estimate.low), scaled(line.estimate.high)
            if low is not None:
                axes.plot([low, high], [place, place], color=colour(0), linewidth=2, alpha=0.55)
            axes.plot(scaled(line.estimate.value), place, "o", color=colour(0), markersize=5)
        axes.axvline(0, color=MUTED, linewidth=0.9)
        names = [_label(line, width) for line in lines]
        axes.set_yticks(range(len(lines)), names, fontsize=7.5)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlabel("tokens saved, %" if fraction else "change of perplexity, %")
        bare(axes, grid="x")
        return figure

    return inline(answer.question.name, answer.question.asks, draw)


def _label(line: Line, width: str) -> str:
    """In lines that leave room for the points."""
    name = f"{line.of}\nagainst {line.against}, on {line.tested_on}"
    if width == "wide":
        return name
    return "\n".join(textwrap.fill(part, 34) for part in name.splitlines())


def _records(found: Iterable[Answer]) -> Iterable[dict[str, object]]:
    for answer in found:
        for line in answer.lines:
            named = {"analysis": answer.question.name, "of": line.of, "against": line.against}
            figures = {**asdict(line.estimate), "unit": line.unit, "verdict": verdict(line)}
            yield {**named, "tested_on": line.tested_on, **figures}


def _csv(found: Sequence[Answer]) -> str:
    out = io.StringIO()
    names = ["analysis", "of", "against", "tested_on", "value", "low", "high", "mixed_low",
             "mixed_high", "seeds", "documents", "unit", "verdict"]  # fmt: skip
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records(found))
    return out.getvalue()
