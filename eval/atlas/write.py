"""An atlas as Markdown and CSV beside `atlas.json`."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.bootstrap import MIN_DOCUMENTS
from eval.forms import write_forms
from eval.report.main_effects import points
from eval.report.sentences import condition_name, key_name, p_value, place_name
from geo_nemo.common.counts import plural
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.reporting.tables import markdown as grid

OFF = "\u2020"
COLUMNS = ("benchmark", "kind", "group", "name", "run", "condition", "rule", "questions",
           "correct", "accuracy", "low", "high", "chance")  # fmt: skip


def write_atlas(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write all three; returns where they are, the one to read first."""
    contents = {
        "md": markdown(result),
        "csv": _csv(result),
        "json": json.dumps(result, allow_nan=False),
    }
    return write_forms(folder, "atlas", contents)


def markdown(result: Mapping[str, Any]) -> str:
    """What is there benchmark by benchmark, then what is not and how it would be found."""
    parts = ["# Atlas", _about(result)]
    for name, of in result["benchmarks"].items():
        skipped = "".join(f"; {count:,} left out: {why}" for why, count in of["skipped"].items())
        parts += [
            f"## {name}",
            f"{plural(of['asked'], 'question')} of {of['path']}{skipped}. {of['source']}",
        ]
        parts.append(grid(
            ("kind", "model", "condition", "right", "interval", "guessing", "worst country",
             "spread"),
            _accuracies(result, of),
        ))  # fmt: skip
        if of["effects"]:
            parts.append(grid(
                ("kind", "of", "against", "difference", "interval over countries", "p (Holm)"),
                _effects(of),
            ))  # fmt: skip
    if result["missing"]:
        parts.append("## Not here")
        parts.append(grid(
            ("benchmark", "put a file or folder named", "schema"),
            [[m["name"], " or ".join(f"{f}*" for f in m["files"]), m["source"]]
             for m in result["missing"]],
        ))  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _about(result: Mapping[str, Any]) -> str:
    off = any(run["off_distribution"] for run in result["runs"].values())
    text = (
        f"Commit {result['commit'] or 'not known'}, {result['finished']}. A model's answer is the "
        "option that it finds likeliest; the country of a question is told as metadata. Worst "
        f"country: the fewest right, of those with {MIN_DOCUMENTS} questions or more; spread: the "
        "standard deviation over these."
    )
    return f"{text} {OFF}: the model was never trained on what it reads there." if off else text


def _accuracies(result: Mapping[str, Any], of: Mapping[str, Any]) -> Iterator[list[str]]:
    cells = [c for c in of["cells"] if c["rule"] == of["rule"]]
    for cell in (c for c in cells if c["group"] == "all"):
        off = cell["condition"] in result["runs"][cell["run"]]["off_distribution"]
        worst, spread = over_countries(cells, cell)
        yield [
            cell["kind"], cell["run"], condition_name(cell["condition"]) + OFF * off,
            f"{cell['accuracy']:.1%}", f"{cell['low']:.1%} to {cell['high']:.1%}",
            f"{cell['chance']:.1%}",
            "" if worst is None else f"{place_name('country', worst['name'])} "
            f"{worst['accuracy']:.1%} of {worst['questions']}",
            "" if spread is None else f"{spread:.1%}",
        ]  # fmt: skip


def over_countries(
    cells: list[dict[str, Any]], whole: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, float | None]:
    """The country with the fewest right, and the standard deviation (n - 1) over countries.

    Only countries with `MIN_DOCUMENTS` questions count; None where there are fewer than two.
    """
    same = ("kind", "run", "condition")
    places = [
        c for c in cells
        if c["group"] == "country" and c["name"] != UNKNOWN and c["questions"] >= MIN_DOCUMENTS
        and all(c[key] == whole[key] for key in same)
    ]  # fmt: skip
    if len(places) < 2:
        return None, None
    rates = [c["accuracy"] for c in places]
    mean = sum(rates) / len(rates)
    spread = (sum((rate - mean) ** 2 for rate in rates) / (len(rates) - 1)) ** 0.5
    return min(places, key=lambda c: c["accuracy"]), spread


def _effects(of: Mapping[str, Any]) -> Iterator[list[str]]:
    for line in of["effects"]:
        ends = (line["country_low"], line["country_high"])
        yield [
            line["kind"], key_name(line["of"]), key_name(line["against"]),
            f"{points(line['difference'])} points",
            "" if None in ends else " to ".join(map(points, ends)),
            p_value(line["p_holm"]),
        ]  # fmt: skip


def _csv(result: Mapping[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name, of in result["benchmarks"].items():
        writer.writerows({"benchmark": name, **cell} for cell in of["cells"])
    return out.getvalue()
