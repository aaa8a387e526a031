"""An experiment's section in docs/experiments.md, and its plot."""

import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.experiment.plan import Planned, stage_lengths
from benchmarks.experiment.schema import Cell, Experiment
from benchmarks.experiment.timing import words
from benchmarks.experiment.verdict import Figures, Found, interval
from geo_nemo.common.files import make_folder, write_whole
from geo_nemo.reporting.tables import markdown

HEAD = """# Experiments

Each is a file, `benchmarks/experiments/NAME.yaml`, and runs itself: `python -m benchmarks
experiment NAME` trains its runs, evaluates them and writes its section here, with a verdict on each
claim. Changes are of perplexity, below 0 is better; intervals are Student's over seeds, 95%. A
claim holds where the whole interval is within its threshold, fails where none of it is, and is else
undecided at this size. The figures of each run are in `benchmarks/experiments/NAME.jsonl`. Negative
results are results.
"""


def section(
    name: str,
    experiment: Experiment,
    planned: Sequence[Planned],
    lines: Sequence[dict],
    found: Sequence[Found],
    plot: str,
) -> str:
    """The section in Markdown. plot: address of the figure, from the page's folder."""
    figures = Figures(experiment, lines)
    seeds = [seed for seed in experiment.seeds if any(line["seed"] == seed for line in lines)]
    conditions, part = experiment.evaluation.conditions, experiment.evaluation.part
    base = _perplexity(figures.of(experiment.baseline))
    text = [
        f"## {name}", "", f"**{experiment.question.strip()}**", "",
        f"Expected: {experiment.expected.strip()}", "",
        markdown(("claim", "measured", "allowed", "verdict"), map(_claim_row, found)), "",
        f"Change of {part} perplexity against {_cell_name(experiment.baseline)} ({base}):", "",
        markdown(
            ("run", *conditions),
            (_run_row(run, conditions, experiment, figures) for run in experiment.runs),
        ), "",
        f"![Change of perplexity by run and condition, a dot a seed, bars intervals]({plot})", "",
        _sizes(experiment, planned, lines, seeds), "",
    ]  # fmt: skip
    missing = len(planned) - len(lines)
    if missing:
        text += [f"Not finished: {missing} of {len(planned)} runs.", ""]
    text += ["<details><summary>Settings</summary>", "", "```", *experiment.settings]
    text += [f"{run}: {' '.join(own)}" for run, own in experiment.runs.items()]
    return "\n".join([*text, "```", "", "</details>", ""])


def _claim_row(found: Found) -> tuple[str, ...]:
    claim = found.claim
    if claim.keeps is None:
        measured = _told(found.mean, found.low, found.high)
        allowed = f"at most {claim.at_most:+.1%}"
    else:
        measured = f"{_told(found.mean, found.low, found.high)} beside that share"
        allowed = f"{claim.keeps:.0%} of the gain of {_cell_name(claim.than)}"
    compared = f"{_cell_name(claim.of)} against {_cell_name(claim.against)}"
    return f"{claim.says} ({compared})", measured, allowed, f"**{found.verdict}**"


def _run_row(
    run: str, conditions: Sequence[str], experiment: Experiment, figures: Figures
) -> tuple[str, ...]:
    cells = []
    for condition in conditions:
        changes = figures.change((run, condition), experiment.baseline)
        is_itself = (run, condition) == tuple(experiment.baseline)
        cells.append("0" if is_itself else _told(*interval(list(changes.values()))))
    return (f"`{run}`", *cells)


def _sizes(
    experiment: Experiment, planned: Sequence[Planned], lines: Sequence[dict], seeds: Sequence[int]
) -> str:
    first, machine = lines[0], lines[0]["machine"]
    stages = ", ".join(f"{name} {n}" for name, n in stage_lengths(planned[0].run).items())
    seconds = sum(sum(line["seconds"].values()) for line in lines)
    return (
        f"Seeds {', '.join(map(str, seeds))}; {first['parameters']:,} parameters; "
        f"{first['steps']:,} steps ({stages}), {first['tokens']:,} tokens; "
        f"{first['documents']['scored']:,} test documents; commit {first['commit'][:12]}; store "
        f"{first['documents']['store_hash'][:12]}; {machine['cores']} cores of {machine['cpu']}, "
        f"torch {machine['torch']}; {words(seconds)} of machine time."
    )


def _told(mean: float, low: float, high: float) -> str:
    if math.isnan(mean):
        return "-"
    shown = f"{math.expm1(mean):+.2%}"
    return (
        shown if math.isinf(low) else f"{shown} [{math.expm1(low):+.2%}, {math.expm1(high):+.2%}]"
    )


def _perplexity(nats: dict[int, float]) -> str:
    values = [f"{math.exp(value):.4f}" for value in nats.values()]
    return "perplexity by seed " + ", ".join(values)


def _cell_name(cell: Cell) -> str:
    return f"`{cell[0]}` {cell[1]}"


def draw(experiment: Experiment, lines: Sequence[dict], path: Path) -> None:
    """A dot a seed, a bar the interval; a row a run, a colour a condition.

    What is far off stands as a number at the edge, so that it flattens nothing else.
    """
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figures, runs = Figures(experiment, lines), list(experiment.runs)
    conditions = experiment.evaluation.conditions
    style = {"svg.hashsalt": "geo_nemo", "svg.fonttype": "none", "font.size": 9}
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(7.6, 1.0 + 0.42 * len(runs)), layout="constrained")
        edge = _edge(figures, experiment)
        for number, condition in enumerate(conditions):
            offset = (number - (len(conditions) - 1) / 2) * 0.24
            for place, run in enumerate(runs):
                changes = figures.change((run, condition), experiment.baseline)
                values = [100 * math.expm1(value) for value in changes.values()]
                if not values:
                    continue
                colour, label = f"C{number}", condition if place == 0 else None
                height = place + offset
                mean, low, high = interval(list(changes.values()))
                if abs(percent := 100 * math.expm1(mean)) > edge:
                    axes.plot([], [], "o", ms=3, color=colour, label=label)
                    right = percent > 0
                    axes.text(
                        0.995 if right else 0.005, height,
                        f"{percent:+.1f}% \u2192" if right else f"\u2190 {percent:+.1f}%",
                        transform=axes.get_yaxis_transform(), color=colour, fontsize=8,
                        va="center", ha="right" if right else "left",
                    )  # fmt: skip
                    continue
                axes.plot(values, [height] * len(values), "o", ms=3, color=colour, label=label)
                if not math.isinf(low):
                    ends = [100 * math.expm1(low), 100 * math.expm1(high)]
                    axes.plot(ends, [height] * 2, "-", lw=1.2, color=colour)
                axes.plot(100 * math.expm1(mean), height, "|", ms=9, color=colour)
        axes.axvline(0, color="#888888", lw=0.8)
        axes.set_yticks(range(len(runs)), runs)
        axes.set_ylim(len(runs) - 0.5, -0.5)
        axes.set_xlabel(f"change of perplexity against {' '.join(experiment.baseline)}, %")
        axes.grid(axis="x", color="#dddddd", lw=0.6)
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=len(conditions), frameon=False)
        make_folder(path.parent)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _edge(figures: Figures, experiment: Experiment) -> float:
    """Four times the median change, in per cent: what is beyond it is far off."""
    cells = [(run, each) for run in experiment.runs for each in experiment.evaluation.conditions]
    changes = [figures.change(cell, experiment.baseline) for cell in cells]
    means = [abs(100 * math.expm1(interval(list(c.values()))[0])) for c in changes if c]
    return 4 * statistics.median([mean for mean in means if mean > 0] or [math.inf])


def put(page: Path, name: str, text: str) -> None:
    """Put a section into the page, in the place of the one of that name, else at the end."""
    content = page.read_text(encoding="utf-8") if page.exists() else HEAD
    begin, end = f"<!-- experiment {name} -->", f"<!-- end of {name} -->"
    whole = f"{begin}\n{text}{end}"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if found.search(content):
        content = found.sub(lambda _: whole, content, count=1)
    else:
        content = f"{content.rstrip()}\n\n{whole}\n"
    make_folder(page.parent)
    write_whole(page, content.encode())
