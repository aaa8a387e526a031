"""A probe as Markdown and CSV beside `probe.json`."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.forms import write_forms
from eval.report.sentences import interval
from geo_nemo.common.counts import plural
from geo_nemo.reporting.tables import markdown as grid

COLUMNS = ("run", "part", "of", "layer", "condition", "value", "low", "high", "majority", "chance",
           "tested", "fitted")  # fmt: skip


def write_probe(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write all three; returns where they are, the one to read first."""
    contents = {
        "md": markdown(result),
        "csv": _csv(result),
        "json": json.dumps(result, allow_nan=False),
    }
    return write_forms(folder, "probe", contents)


def markdown(result: Mapping[str, Any]) -> str:
    """Hosts first, then each model: its layers, regions, membership and extraction."""
    parts = [
        "# Probe",
        f"{plural(result['documents'], 'document')} of split {result['config']['split']}. Commit "
        f"{result['commit'] or 'not known'}, {result['finished']}.",
    ]
    hosts = result["hosts"]
    if hosts is not None:
        parts += [
            "## What the host alone tells",
            f"Of {plural(hosts['hosts'], 'host')} {hosts['national']:.0%} end in a national "
            f"domain, and of those {hosts['agreeing']:.0%} in that of their country. A line "
            "through their characters, on hosts that it was not fitted on:",
            grid(
                ("characters of", "countries right", "most frequent", "by chance", "hosts tested"),
                [[p["features"], f"{p['accuracy']:.1%}", f"{p['majority']:.1%}",
                  f"{p['chance']:.1%}", f"{p['tested']:,}"] for p in hosts["probes"]],
            ),
        ]  # fmt: skip
    for run, of in result["runs"].items():
        parts += [f"## Run {run}", *_of_run(of)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _of_run(of: Mapping[str, Any]) -> Iterator[str]:
    if of.get("layers", ()) is None:
        yield "A training run: hidden states are read of its export alone."
    if of.get("layers") == []:
        yield (
            "Layers were not probed: there are too few hosts, or too few values of the fields, for "
            "some to be fitted and others to be tested."
        )
    if of.get("layers"):
        yield (
            "Linear probes of hidden states, means over a body's tokens; layer 0 is the "
            "embeddings. Tested on hosts that they were not fitted on."
        )
        yield grid(
            ("field", "layer", "right", "interval", "most frequent", "by chance", "tested"),
            [[line["field"], str(line["layer"]), f"{line['accuracy']:.1%}",
              interval(line["low"], line["high"], lambda x: f"{x:.0%}"),
              f"{line['majority']:.1%}", f"{line['chance']:.1%}", f"{line['tested']:,}"]
             for line in of["layers"]],
        )  # fmt: skip
    if of.get("regions"):
        last = max(line["layer"] for line in of["regions"])
        yield (
            "Where a continent's documents lie in the last layer, as if it had been left out: how "
            "much of their variance lies between its own countries, and whose countries' centre is "
            "nearest."
        )
        yield grid(
            ("continent", "documents", "between its countries", "nearest"),
            [[line["region"], f"{line['documents']:,}",
              "" if line["explained"] is None else f"{line['explained']:.1%}",
              ", ".join(f"{k} {v:.0%}" for k, v in line["nearest"].items())]
             for line in of["regions"] if line["layer"] == last],
        )  # fmt: skip
    if of.get("membership"):
        yield (
            "Whether losses give away training documents, on hosts that both splits have: area "
            "under the curve, 0.5 tells nothing."
        )
        yield grid(
            ("by", "area", "interval", "trained", "not trained"),
            [[MEASURES[line["measure"]], f"{line['area']:.3f}",
              interval(line["low"], line["high"], lambda x: f"{x:.3f}"), f"{line['inside']:,}",
              f"{line['outside']:,}"] for line in of["membership"]],
        )  # fmt: skip
    if of.get("order"):
        found = of["order"]
        yield (
            f"Whether the order of {found['items']:,} items of {found['benchmark']} was read: of "
            f"{found['permutations']:,} other orders the model likes {found['p']:.1%} as much or "
            f"more, itself counted; its own gains {found['gain']:+.4f} nats a token."
        )
    if of.get("extraction"):
        yield "Bodies that go on word for word when the likeliest token is taken:"
        yield grid(
            ("split", "told", "extracted", "of", "interval"),
            [[line["split"], "metadata" if line["condition"] == "with" else "nothing",
              f"{line['extracted']:,}", f"{line['documents']:,}",
              interval(line["low"], line["high"], lambda x: f"{x:.1%}")]
             for line in of["extraction"]],
        )  # fmt: skip


MEASURES = {
    "with": "loss, told",
    "without": "loss, told nothing",
    "min_k": "loss of the least likely fifth, told nothing",
    "gain": "what telling gains",
}


def _csv(result: Mapping[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in (result["hosts"] or {}).get("probes", []):
        writer.writerow({**line, "part": "hosts", "of": line["features"],
                         "value": line["accuracy"]})  # fmt: skip
    for run, of in result["runs"].items():
        for line in of.get("layers") or []:
            writer.writerow({**line, "run": run, "part": "layers", "of": line["field"],
                             "value": line["accuracy"]})  # fmt: skip
        for line in of.get("regions") or []:
            writer.writerow({**line, "run": run, "part": "regions", "of": line["region"],
                             "value": line["explained"]})  # fmt: skip
        for line in of.get("membership") or []:
            writer.writerow({**line, "run": run, "part": "membership", "value": line["area"],
                             "of": line["measure"]})  # fmt: skip
        if of.get("order"):
            found = of["order"]
            writer.writerow({"run": run, "part": "order", "of": found["benchmark"],
                             "value": found["p"], "tested": found["items"]})  # fmt: skip
        for line in of.get("extraction") or []:
            share = line["extracted"] / line["documents"] if line["documents"] else ""
            writer.writerow({**line, "run": run, "part": "extraction", "of": line["split"],
                             "value": share, "tested": line["documents"]})  # fmt: skip
    return out.getvalue()
