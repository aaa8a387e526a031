"""An experiment's plots: every cell, and every cell by the values of a field."""

import math
import statistics
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.experiment.schema import Experiment
from benchmarks.experiment.verdict import Figures, interval
from geo_nemo.common.files import make_folder, write_whole

STYLE = {"svg.hashsalt": "geo_nemo", "svg.fonttype": "none", "font.size": 9}
PANEL = 3.8  # inches
LEGEND = 5  # columns, beyond which names would be cut off


CELLS = "Change of perplexity by run and condition, a dot a seed, bars intervals"


def draw_all(
    experiment: Experiment, lines: Sequence[dict], folder: Path, name: str
) -> dict[str, str]:
    """Draw what there is into `folder`; the name of each file, and in words what it shows."""
    found = {f"{name}.svg": CELLS}
    draw(experiment, lines, folder / f"{name}.svg")
    field = experiment.evaluation.plot_by
    if field is not None and values_of(field, lines):
        draw_by(experiment, lines, folder / f"{name}-by-{field}.svg")
        found[f"{name}-by-{field}.svg"] = (
            f"Change of perplexity by {field}, a line a run, a panel a condition, bars intervals"
        )
    return found


def values_of(field: str, lines: Sequence[dict]) -> list[str]:
    """Values of a field that every line has, numbers by their size."""
    shared = set.intersection(*(set(line.get("nats_among", {})) for line in lines))
    names = [of.partition("=")[2] for of in shared if of.startswith(f"{field}=")]
    return sorted(names, key=lambda name: (int(name), "") if name.isdigit() else (10**9, name))


def draw_by(experiment: Experiment, lines: Sequence[dict], path: Path) -> None:
    """A panel a condition: change against the baseline on texts of the same value, by that value.

    A run that is far off everywhere in a panel is named beneath it and not drawn, so that it
    flattens nothing else.
    """
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figures, field = Figures(experiment, lines), experiment.evaluation.plot_by
    values, conditions = values_of(field, lines), experiment.evaluation.conditions
    edge = _edge(figures, experiment)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            1, len(conditions), figsize=(PANEL * len(conditions), 3.1), sharey=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for axes, condition in zip(panels[0], conditions, strict=True):
            beyond = []
            for number, run in enumerate(experiment.runs):
                points = _by_value(figures, experiment, (run, condition), field, values)
                if not points or (run, condition) == tuple(experiment.baseline):
                    continue
                least = min(abs(mean) for _, mean, _, _ in points)
                if least > edge:
                    beyond.append(f"{run} {statistics.median(p[1] for p in points):+.0f}%")
                    continue
                places, means, lows, highs = zip(*points, strict=True)
                bars = [[m - x for m, x in zip(means, lows, strict=True)],
                        [x - m for m, x in zip(means, highs, strict=True)]]  # fmt: skip
                shifted = [place + 0.06 * (number - len(experiment.runs) / 2) for place in places]
                drawn = None if any(math.isinf(low) for low in lows) else bars
                axes.errorbar(shifted, means, drawn, fmt="-o", ms=4, lw=1.2, color=f"C{number}",
                              label=run)  # fmt: skip
            axes.axhline(0, color="#888888", lw=0.8)
            axes.set_xticks(range(len(values)), values)
            axes.set_title(condition, fontsize=9.5, loc="left", fontweight="bold")
            axes.set_xlabel(field + (f" (not drawn: {', '.join(beyond)})" if beyond else ""))
            axes.grid(axis="y", color="#dddddd", lw=0.6)
            axes.set_axisbelow(True)
        panels[0][0].set_ylabel(f"against {' '.join(experiment.baseline)}, %")
        handles: dict[str, Any] = {}
        for axes in panels[0]:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", frameon=False,
                      ncols=min(LEGEND, max(1, len(handles))))  # fmt: skip
        save(figure, path)


def _by_value(
    figures: Figures,
    experiment: Experiment,
    cell: tuple[str, str],
    field: str,
    values: Sequence[str],
) -> list[tuple[int, float, float, float]]:
    """Place of each value, mean change in per cent, and its interval's ends."""
    found = []
    for place, value in enumerate(values):
        changes = figures.change(cell, experiment.baseline, f"{field}={value}")
        if changes:
            ends = [100 * math.expm1(end) for end in interval(list(changes.values()))]
            found.append((place, *ends))
    return found


def draw(experiment: Experiment, lines: Sequence[dict], path: Path) -> None:
    """A dot a seed, a bar the interval; a row a run, a colour a condition.

    What is far off stands as a number at the edge, so that it flattens nothing else.
    """
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figures, runs = Figures(experiment, lines), list(experiment.runs)
    conditions = experiment.evaluation.conditions
    with plt.rc_context(STYLE):
        # A row of a run is as high as its conditions need, and they stay within it.
        step, row = min(0.24, 0.84 / len(conditions)), max(0.42, 0.14 * len(conditions))
        figure, axes = plt.subplots(figsize=(7.6, 1.0 + row * len(runs)), layout="constrained")
        edge = _edge(figures, experiment)
        for number, condition in enumerate(conditions):
            offset = (number - (len(conditions) - 1) / 2) * step
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
        columns = min(LEGEND, len(conditions))
        figure.legend(loc="outside upper left", ncols=columns, frameon=False)
        save(figure, path)


def _edge(figures: Figures, experiment: Experiment) -> float:
    """Four times the median change, in per cent: what is beyond it is far off."""
    cells = [(run, each) for run in experiment.runs for each in experiment.evaluation.conditions]
    changes = [figures.change(cell, experiment.baseline) for cell in cells]
    means = [abs(100 * math.expm1(interval(list(c.values()))[0])) for c in changes if c]
    return 4 * statistics.median([mean for mean in means if mean > 0] or [math.inf])


def save(figure: Any, path: Path) -> None:
    """Write an SVG of the same bytes for the same figure."""
    import matplotlib.pyplot as plt

    drawn = BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    make_folder(path.parent)
    write_whole(path, drawn.getvalue())
