"""An experiment's section in docs/experiments.md."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.experiment.figures import changing, short
from benchmarks.experiment.plan import Planned, stage_lengths
from benchmarks.experiment.schema import Cell, Experiment
from benchmarks.experiment.timing import words
from benchmarks.experiment.verdict import Figures, Found, interval
from geo_nemo.common.files import write_whole
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
    plots: Mapping[str, str],
) -> str:
    """The section in Markdown. plots: address of each figure, from the page's folder, and in words
    what it shows.
    """
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
        *(line for plot, shows in plots.items() for line in (f"![{shows}]({plot})", "")),
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
        measured = told(found.mean, found.low, found.high)
        allowed = f"at most {_threshold(claim.at_most)}"
    else:
        measured = f"{told(found.mean, found.low, found.high)} beside that share"
        allowed = f"{claim.keeps:.0%} of the gain of {_cell_name(claim.than)}"
    compared = f"{_cell_name(claim.of)} against {_cell_name(claim.against)}"
    return f"{claim.says} ({compared})", measured, allowed, f"**{found.verdict}**"


def _threshold(change: float) -> str:
    """A change of perplexity as its file has it: `+0.3%`, `-2.51%`."""
    short = f"{change:+.1%}"
    return short if math.isclose(float(short[:-1]), 100 * change) else f"{100 * change:+.4g}%"


def _run_row(
    run: str, conditions: Sequence[str], experiment: Experiment, figures: Figures
) -> tuple[str, ...]:
    cells = []
    for condition in conditions:
        changes = figures.change((run, condition), experiment.baseline)
        is_itself = (run, condition) == tuple(experiment.baseline)
        cells.append("0" if is_itself else told(*interval(list(changes.values()))))
    return (f"`{run}`", *cells)


def _sizes(
    experiment: Experiment, planned: Sequence[Planned], lines: Sequence[dict], seeds: Sequence[int]
) -> str:
    first, lengths = lines[0], defaultdict(list)
    for run in planned:
        for stage, length in stage_lengths(run.run).items():
            lengths[stage].append(length)
    stages = ", ".join(f"{stage} {_span(each)}" for stage, each in lengths.items())
    machines = dict.fromkeys(
        f"{each['cores']} cores of {each['cpu']}, torch {each['torch']}"
        for each in (line["machine"] for line in lines)
    )
    seconds = sum(sum(line["seconds"].values()) for line in lines)
    return (
        f"Seeds {', '.join(map(str, seeds))}; {_span(x['parameters'] for x in lines)} parameters; "
        f"{_span(x['steps'] for x in lines)} steps ({stages}), "
        f"{_span(x['tokens'] for x in lines)} tokens; "
        f"{first['documents']['scored']:,} test documents; commit {short(first['commit'])}; store "
        f"{first['documents']['store_hash'][:12]}; {', and '.join(machines)}; "
        f"{words(seconds)} of machine time."
    )


def _span(values: Iterable[int]) -> str:
    """The number that all runs have, or the least and the most."""
    least, *_, most = sorted({*values}) * 2
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def told(mean: float, low: float, high: float) -> str:
    """A change in nats a token and its interval, as changes of perplexity."""
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


def put(page: Path, name: str, text: str) -> None:
    """Put a section into the page, in the place of the one of that name, else at the end.

    Of a section that has lost its end, the next one is the end.
    """
    begin, end = f"<!-- experiment {name} -->", re.escape(f"<!-- end of {name} -->")
    whole = f"{begin}\n{text}<!-- end of {name} -->"
    ends = rf"{end}(\s*{end})*|(?=<!-- experiment )|\Z"
    found = re.compile(rf"{re.escape(begin)}.*?({ends})\s*", re.DOTALL)
    with changing(page):
        content = page.read_text(encoding="utf-8") if page.exists() else HEAD
        if found.search(content):
            content = found.sub(lambda _: f"{whole}\n\n", content, count=1).rstrip() + "\n"
        else:
            content = f"{content.rstrip()}\n\n{whole}\n"
        write_whole(page, content.encode())
