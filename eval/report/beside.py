"""What stands beside the page: the same figures as CSV, JSON and Markdown, and two evaluations side
by side.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from eval.report.lead import lead
from eval.report.sentences import key_name, p_value, percent, perplexity, pick
from eval.report.tables import least_of
from geo_nemo.config import UserError
from geo_nemo.reporting import tables

# Columns that name a line, in order; the others follow.
FIRST = (
    "table",
    "kind",
    "group",
    "name",
    "part",
    "run",
    "condition",
    "rule",
    "of",
    "against",
    "purpose",
)


def beside(page: Path, evaluation: Mapping[str, Any], said: list[str]) -> dict[Path, bytes]:
    """`page` with .csv, .json and .md in place of its ending, and what stands in each."""
    contents = {
        ".csv": _csv(lines_of(evaluation)),
        ".json": json.dumps({"said": said, **evaluation}, indent=1, allow_nan=False) + "\n",
        ".md": markdown(evaluation, said),
    }
    if page.suffix in contents:
        raise UserError(f"output={page}: the page needs another ending, as .html")
    return {page.with_suffix(ending): text.encode() for ending, text in contents.items()}


def lines_of(evaluation: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Every line of every table, flat; `table` says which."""
    asked = evaluation["questions"] or {}
    tables = {
        "perplexity": evaluation["perplexity"]["cells"],
        "perplexity differences": evaluation["perplexity"]["effects"],
        "places in the text": evaluation.get("places", []),
        "constant and slope": evaluation.get("constant_and_slope", []),
        "over countries": evaluation.get("countries", []),
        "questions": asked.get("cells", []),
        "question differences": asked.get("effects", []),
        "locale switch": asked.get("switch", []),
    }
    for table, lines in tables.items():
        for line in lines:
            yield {
                "table": table,
                **{k: "/".join(v) if isinstance(v, list | tuple) else v for k, v in line.items()},
            }


def markdown(evaluation: Mapping[str, Any], said: list[str]) -> str:
    """The lead, and the figures over all documents and questions."""
    parts = ["# Evaluation", *said, "## Perplexity, all documents"]
    rows = [
        [cell["part"], cell["run"], cell["condition"], perplexity(cell["perplexity"]),
         perplexity(cell["low"]) if cell["low"] is not None else "",
         perplexity(cell["high"]) if cell["high"] is not None else "",
         f"{cell['bits_per_byte']:.4f}" if "bits_per_byte" in cell else ""]
        for cell in evaluation["perplexity"]["cells"] if cell["group"] == "all"
    ]  # fmt: skip
    parts.append(
        tables.markdown(
            ["part", "run", "condition", "perplexity", "low", "high", "bits/byte"], rows
        )
    )
    least = least_of(evaluation)
    rows = [
        [effect["part"], key_name(effect["of"]), key_name(effect["against"]),
         percent(effect["ratio"]), percent(effect["ratio_low"]), percent(effect["ratio_high"]),
         p_value(effect.get("p_holm"), least)]
        for effect in evaluation["perplexity"]["effects"] if effect["group"] == "all"
    ]  # fmt: skip
    head = ["part", "of", "against", "change", "low", "high", "p, corrected"]
    parts += [
        "## Changes of perplexity; below 0, the first predicts better",
        tables.markdown(head, rows),
    ]
    if evaluation["questions"]:
        rows = [
            [cell["kind"], cell["run"], cell["condition"], cell["rule"], str(cell["questions"]),
             f"{cell['accuracy']:.1%}", f"{cell['low']:.1%}", f"{cell['high']:.1%}"]
            for cell in evaluation["questions"]["cells"] if cell["group"] == "all"
        ]  # fmt: skip
        head = ["kind", "run", "condition", "rule", "questions", "right", "low", "high"]
        parts += ["## Questions", tables.markdown(head, rows)]
    return "\n\n".join(parts) + "\n"


def compare(first: Mapping[str, Any], second: Mapping[str, Any], names: tuple[str, str]) -> str:
    """Two evaluations side by side, as Markdown: what both measured, and the second less the first.

    Only a store and documents that are the same make figures comparable, which is said.
    """
    documents = first["documents"], second["documents"]
    same = all(
        documents[0].get(key) == documents[1].get(key)
        for key in ("store_hash", "split", "scored", "title_tokens", "body_tokens")
    )
    parts = [
        f"# {names[0]} and {names[1]}",
        "Both scored the same documents." if same else
        "**They scored other documents, or by other tokens: perplexities of the two are not to be "
        "compared with each other; differences inside each are.**",
    ]  # fmt: skip
    rows = []
    for cell in first["perplexity"]["cells"]:
        if cell["group"] != "all":
            continue
        wanted = {key: cell[key] for key in ("group", "part", "run", "condition")}
        other = pick(second["perplexity"]["cells"], **wanted)
        if other is None or None in (cell["perplexity"], other["perplexity"]):
            continue
        rows.append([
            cell["part"], key_name((cell["run"], cell["condition"])),
            perplexity(cell["perplexity"]),
            perplexity(other["perplexity"]), percent(other["perplexity"] / cell["perplexity"]),
        ])  # fmt: skip
    head = ["part", "run and condition", *names, "change"]
    parts += [
        "## Perplexity",
        tables.markdown(head, rows) if rows else "No run and condition is in both.",
    ]
    rows = []
    for cell in (first["questions"] or {}).get("cells", []):
        if cell["group"] != "all":
            continue
        wanted = {key: cell[key] for key in ("kind", "group", "run", "condition", "rule")}
        other = pick((second["questions"] or {}).get("cells", []), **wanted)
        if other is not None:
            points = 100 * (other["accuracy"] - cell["accuracy"])
            rows.append([
                cell["kind"], key_name((cell["run"], cell["condition"])), cell["rule"],
                f"{cell['accuracy']:.1%}", f"{other['accuracy']:.1%}", f"{points:+.1f} points",
            ])  # fmt: skip
    if rows:
        head = ["kind", "run and condition", "rule", *names, "change"]
        parts += ["## Questions right", tables.markdown(head, rows)]
    for name, evaluation in zip(names, (first, second), strict=True):
        parts += [f"## What {name} says", *lead(evaluation)]
    return "\n\n".join(parts) + "\n"


def _csv(lines: Iterable[dict[str, Any]]) -> str:
    lines = list(lines)
    columns = dict.fromkeys(name for line in lines for name in line)
    order = [name for name in FIRST if name in columns]
    order += [name for name in columns if name not in FIRST]
    content = io.StringIO()
    writer = csv.DictWriter(content, order, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return content.getvalue()
