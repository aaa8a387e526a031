"""The report's figures. Points are estimates, bars their intervals; axes say their unit."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.groups import ALL, AND
from eval.report.sentences import PART_NAMES, condition_name, key_name, perplexity, pick, place_name
from geo_nemo.reporting.svg import (
    AXIS,
    DASHES,
    MUTED,
    WIDTHS,
    bare,
    colour,
    inline,
    marker,
)

MOST_COUNTRIES = 40
MOST_KINDS = 4
MOST_POINTS = 400
# Times the median, above which a value is shown at the edge, with an arrow.
OUTLIER = 3
# The loss falls from the logarithm of the vocabulary: this fraction of the run is above the frame.
OPENING = 0.1


def matrix_plot(evaluation: dict[str, Any]) -> str:
    """Perplexity of body and title by condition and run."""
    cells = [c for c in evaluation["perplexity"]["cells"] if c["group"] == "all"]
    parts = [part for part in ("body", "title") if pick(cells, part=part)]
    runs, conditions = list(evaluation["runs"]), evaluation["conditions"]

    def draw(width: str) -> Figure:
        figure, panels = _panels(width, len(parts), len(runs) * len(conditions))
        for axes, part in zip(panels, parts, strict=True):
            lines = {run: [pick(cells, part=part, run=run, condition=each) for each in conditions]
                     for run in runs}  # fmt: skip
            points = {
                run: [(_finite(c["perplexity"]), c["low"], c["high"]) for c in found]
                for run, found in lines.items()
            }
            names = [condition_name(condition) for condition in conditions]
            edge = _edge([value for of in points.values() for value, _, _ in of])
            _dots(axes, names, points, lambda x: perplexity(x if x < np.inf else None), edge)
            axes.set_title(PART_NAMES[part])
            axes.set_xlabel("perplexity")
        return _with_legend(figure, panels[0], width)

    return inline("matrix", "Perplexity of body and title in each condition, by trained run", draw)


def curves_plot(evaluation: dict[str, Any]) -> str | None:
    """Perplexity of bodies by step, where several checkpoints of a run were evaluated."""
    of_folder: dict[str, list[tuple[int, str]]] = {}
    for name, about in evaluation["runs"].items():
        if about.get("step") is not None:
            of_folder.setdefault(about["folder"], []).append((about["step"], name))
    curves = {folder: sorted(steps) for folder, steps in of_folder.items() if len(steps) > 1}
    cells = [c for c in evaluation["perplexity"]["cells"]
             if (c["group"], c["part"]) == ("all", "body")]  # fmt: skip
    if not curves or not cells:
        return None

    def draw(width: str) -> Figure:
        figure, axes = plt.subplots(figsize=(WIDTHS[width], 3.3), layout="constrained")
        for number, steps in enumerate(curves.values()):
            run = _stem([name for _, name in steps])
            for place, condition in enumerate(evaluation["conditions"]):
                found = [
                    pick(cells, run=name, condition=condition)["perplexity"] for _, name in steps
                ]
                axes.plot([step for step, _ in steps], found, marker(place), linewidth=1.4,
                          color=colour(place), markersize=4,
                          label=f"run {run}, {condition_name(condition)}",
                          linestyle=DASHES[number % len(DASHES)])  # fmt: skip
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("perplexity of bodies")
        bare(axes, grid="y")
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=2 if width == "wide" else 1)
        return figure

    return inline("curves", "Perplexity of bodies by step and condition", draw)


def _stem(names: Sequence[str]) -> str:
    """What checkpoints of one run are called together: `a` of a-200 and a-400, else all names."""
    stems = {name.rpartition("-")[0] for name in names}
    return stem if len(stems) == 1 and (stem := next(iter(stems))) else ", ".join(names)


def gain_plot(evaluation: dict[str, Any], effect: dict[str, Any], name: str = "gain") -> str | None:
    """The difference of losses by place: countries where they are few enough, else continents.

    Where figures are told apart by another field, by that. name: of the figure in the page.
    """
    lines = [
        e
        for e in evaluation["perplexity"]["effects"]
        if (e["part"], e["of"], e["against"]) == (effect["part"], effect["of"], effect["against"])
        and e["low"] is not None
    ]
    countries = [e for e in lines if e["group"] == "country"]
    places = countries if 1 < len(countries) <= MOST_COUNTRIES else []
    kinds = list(dict.fromkeys(e["group"] for e in lines))
    kinds = [kind for kind in kinds if kind != ALL and AND not in kind]
    other = next(iter(kinds), ALL)
    places = places or [e for e in lines if e["group"] == other][:MOST_COUNTRIES]
    if len(places) < 2:
        return None
    places.sort(key=lambda e: e["nats"])
    of_place = evaluation["documents"]["continents"] if places[0]["group"] == "country" else {}
    coloured = places[0]["group"] in ("country", "continent")
    # Of another field each value is a line of its own, and colours would tell nothing.
    series = [of_place.get(e["name"], e["name"]) if coloured else e["group"] for e in places]
    continents = sorted(set(series))

    def draw(width: str) -> Figure:
        size = (WIDTHS[width], 0.95 + 0.21 * len(places))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        for number, continent in enumerate(continents):
            mine = [(row, e) for row, e in enumerate(places) if series[row] == continent]
            points = [(e["nats"], e["low"], e["high"]) for _, e in mine]
            _bars(axes, [row for row, _ in mine], points, number, continent)
        axes.axvline(0, color=AXIS, linewidth=0.9)
        axes.set_yticks(range(len(places)), [place_name(e["group"], e["name"]) for e in places])
        axes.set_ylim(len(places) - 0.4, -0.6)
        axes.set_xlabel("change of loss, nats per token (left of 0: predicts better)")
        bare(axes, grid="x")
        return _with_legend(figure, axes, width)

    label = (
        f"Change of loss by place, {key_name(effect['of'])} against {key_name(effect['against'])}"
    )
    return inline(name, label, draw)


def questions_plot(evaluation: dict[str, Any]) -> str:
    """Accuracy by kind, condition and run, with the level of a guess."""
    cells = [c for c in evaluation["questions"]["cells"]
             if c["group"] == "all"
             and c["rule"] == evaluation["questions"].get("rule", "by_sum")]  # fmt: skip
    kinds = list(dict.fromkeys(cell["kind"] for cell in cells))[:MOST_KINDS]
    runs, conditions = list(evaluation["runs"]), evaluation["questions"]["conditions"]
    titles = {"local": "Answer depends on the country", "shared": "Same answer everywhere",
              "explicit": "The question names its country",
              "ambiguous": "The question names no country"}  # fmt: skip

    def draw(width: str) -> Figure:
        figure, panels = _panels(width, len(kinds), len(runs) * len(conditions))
        for axes, kind in zip(panels, kinds, strict=True):
            lines = {run: [pick(cells, kind=kind, run=run, condition=each) for each in conditions]
                     for run in runs}  # fmt: skip
            points = {
                run: [tuple(100 * c[key] for key in ("accuracy", "low", "high")) for c in found]
                for run, found in lines.items()
            }
            _dots(
                axes,
                [condition_name(condition) for condition in conditions],
                points,
                lambda x: f"{x:.0f}",
            )
            guess = 100 * lines[runs[0]][0]["chance"]
            axes.axvline(guess, color=MUTED, linewidth=0.9, linestyle=DASHES[2])
            axes.set_ylim(len(conditions) - 0.15, -0.5)
            axes.annotate("chance", (guess, 0), xycoords=("data", "axes fraction"),
                          xytext=(3, 2), textcoords="offset points", va="bottom", color=MUTED,
                          fontsize=8)  # fmt: skip
            axes.set_xlim(0, 104)
            axes.set_title(titles.get(kind, kind))
            axes.set_xlabel("questions answered right, %")
        return _with_legend(figure, panels[0], width)

    return inline("questions", "Accuracy on questions in each condition, by trained run", draw)


def loss_plot(
    metrics: dict[str, list[dict[str, Any]]], floors: dict[str, float] | None
) -> str | None:
    """Training loss of all runs over steps, with the borders of stages and the corpus's floor.

    floors: nats per trained token, by what is known of the origin.
    """
    metrics = {run: lines for run, lines in metrics.items() if len(lines) > 1}
    if not metrics:
        return None

    def draw(width: str) -> Figure:
        figure, axes = plt.subplots(figsize=(WIDTHS[width], 3.3), layout="constrained")
        highest = []
        for number, (run, lines) in enumerate(metrics.items()):
            steps = np.array([line["step"] for line in lines], dtype=float)
            loss = np.array([line["loss"] for line in lines], dtype=float)
            axes.plot(*_thinned(steps, loss), color=colour(number), linewidth=0.7, alpha=0.35)
            axes.plot(*_thinned(steps, _smoothed(loss)), color=colour(number), linewidth=1.6,
                      linestyle=DASHES[number % len(DASHES)], label=f"run {run}")  # fmt: skip
            highest.append(loss[np.searchsorted(steps, steps[0] + OPENING * np.ptp(steps))])
        borders = {b for lines in metrics.values() for b in stage_borders(lines)}
        for step, stage in sorted(borders):
            axes.axvline(step, color=MUTED, linewidth=0.9, linestyle=DASHES[1])
            axes.annotate(f"{stage} \u2192", (step, 1), xycoords=("data", "axes fraction"),
                          xytext=(-3, -2), textcoords="offset points", va="top", ha="right",
                          color=MUTED)  # fmt: skip
        for place, (name, value) in enumerate(sorted((floors or {}).items(), key=lambda f: -f[1])):
            axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=DASHES[2])
            # The upper line's name stands above it and the lower one's below: they may be close.
            upper = place == 0
            axes.annotate(
                f"floor, {name}", (0, value), xycoords=("axes fraction", "data"),
                xytext=(3, 2 if upper else -2), textcoords="offset points",
                va="bottom" if upper else "top", color=MUTED, fontsize=8,
            )  # fmt: skip
        lowest = min(line["loss"] for lines in metrics.values() for line in lines)
        lowest = min([lowest, *(floors or {}).values()])
        top = max(highest)
        axes.set_ylim(lowest - 0.12 * (top - lowest), top + 0.04 * (top - lowest))
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("training loss, nats per token")
        bare(axes, grid="y")
        return _with_legend(figure, axes, width)

    return inline("loss", "Training loss by step of every run", draw)


def stage_borders(lines: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """(step of the first logged line, stage) of every stage but the first."""
    pairs = pairwise(lines)
    return [(new["step"], new["stage"]) for old, new in pairs if old["stage"] != new["stage"]]


def _panels(width: str, number: int, dots: int) -> tuple[Figure, Sequence[Axes]]:
    """Side by side where there is room, else one above the other."""
    height = 0.75 + 0.24 * dots
    wide = width == "wide"
    shape = (1, number) if wide else (number, 1)
    size = (WIDTHS[width], height if wide else (height + 0.25) * number)
    figure, panels = plt.subplots(
        *shape, figsize=size, sharey=wide, squeeze=False, layout="constrained"
    )
    return figure, list(panels.flat)


def _dots(
    axes: Axes,
    names: list[str],
    points: dict[str, list[tuple[float, float | None, float | None]]],
    form: Callable[[float], str],
    edge: float = np.inf,
) -> None:
    """One line of names a group; in it, one dot with its interval and value a run.

    edge: where the scale ends; what lies beyond stands there, with an arrow.
    """
    step = 0.8 / len(points)
    for number, (run, found) in enumerate(points.items()):
        rows = [row - 0.4 + step * (number + 0.5) for row in range(len(names))]
        held = [point if point[0] <= edge else (edge, None, None) for point in found]
        _bars(axes, rows, held, number, f"run {run}")
        for row, (value, _, high), (shown, _, _) in zip(rows, found, held, strict=True):
            beyond = "" if value <= edge else " \u2192"
            at = shown if high is None or beyond else high
            axes.annotate(form(value) + beyond, (at, row), xytext=(5, 0),
                          textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.margins(x=0.14)
    bare(axes, grid="x")


def _edge(values: list[float]) -> float:
    """Where a scale ends: far values stand at its edge, so that they do not flatten the others."""
    near = [value for value in values if value <= OUTLIER * np.median(values) and value < np.inf]
    return max(values) if len(near) == len(values) else 1.1 * max(near, default=1.0)


def _finite(value: float | None) -> float:
    """A perplexity; without end where it is too large for a number, which stands as null."""
    return np.inf if value is None else value


def _bars(axes: Axes, rows, points, number: int, name: str) -> None:
    values = np.array([point[0] for point in points], dtype=float)
    for row, (_, low, high) in zip(rows, points, strict=True):
        if low is not None:
            axes.plot([low, high], [row, row], color=colour(number), linewidth=2, alpha=0.55)
    axes.plot(values, rows, marker(number), color=colour(number), markersize=5, label=name)


def _with_legend(figure: Figure, axes: Axes, width: str) -> Figure:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper left", ncols=6 if width == "wide" else 3,
        handletextpad=0.4, columnspacing=1.3, borderaxespad=0.2,
    )  # fmt: skip
    return figure


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Centred mean over about a fortieth of the run."""
    half = max(1, len(values) // 80)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    start, stop = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    return (sums[stop] - sums[start]) / (stop - start)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MOST_POINTS` points, so that the page stays small however long the run is."""
    chosen = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
    return x[chosen], y[chosen]
