"""Tables of the report over countries: worst and spread, constant and slope, heat maps."""

from typing import Any

from eval.conditions import country_told
from eval.matrix import PLACED
from eval.report.sentences import (
    condition_name,
    interval,
    key_name,
    loss_verdict,
    percent,
    place_name,
    ratio_of,
    signed,
)
from geo_nemo.common.counts import plural
from geo_nemo.reporting.tables import Cell, Table

# More of a colour behind a text would hide it.
MOST_HEAT = 45
MOST_COUNTRIES = 40


def over_countries(evaluation: dict[str, Any], part: str = "body") -> Table | None:
    """Of each comparison by bodies: the mean over countries, their spread, the worst one."""
    rows = []
    for line in evaluation.get("countries", []):
        if line["part"] != part or line["purpose"] not in PLACED:
            continue
        number = plural(line["countries"], "country", "countries")
        rows.append([
            Cell(key_name(line["of"]), f"against {key_name(line['against'])}"),
            Cell(place_name("country", line["worst"]), percent(ratio_of(line["worst_nats"]))),
            Cell(percent(ratio_of(line["mean"])), f"of {number}"),
            Cell(f"{line['spread']:.4f}", "spread"),
            Cell(f"{line['better']} and {line['worse']}", "better, worse"),
        ])  # fmt: skip
    head = ("compared", "worst country", "mean over countries", "spread, nats a token",
            "clearly better, worse")  # fmt: skip
    return Table(head, rows, text=2, name="compare") if rows else None


def fitted(evaluation: dict[str, Any]) -> Table | None:
    """Constant and slope of the comparisons that are told by places in the text."""
    rows = []
    for line in evaluation.get("constant_and_slope", []):
        rows.append([
            Cell(key_name(line["of"]), f"against {key_name(line['against'])}"),
            *(Cell(signed(line[name], digits),
                   interval(line[f"{name}_low"], line[f"{name}_high"],
                            lambda x, d=digits: signed(x, d)),
                   _tone(line[f"{name}_low"], line[f"{name}_high"]))
              for name, digits in (("constant", 2), ("slope", 4))),
        ])  # fmt: skip
    head = ("compared", "constant, nats a document", "slope, nats a token")
    return Table(head, rows, name="compare") if rows else None


def maps(evaluation: dict[str, Any], part: str) -> list[tuple[str, str, Table]]:
    """(heading, caption, table): each run's conditions by country, and countries told by country.

    A cell is the change against the same model told nothing.
    """
    found = []
    for run, about in evaluation["runs"].items():
        if about["policy_hashes"] and not about["conditioned"]:
            continue  # it was never told anything
        lines = [
            line for line in evaluation["perplexity"]["effects"]
            if line["group"] == "country" and line["part"] == part
            and line["of"][0] == run and [*line["against"]] == [run, "without"]
        ]  # fmt: skip
        told = {line["of"][1]: country_told(line["of"][1]) for line in lines}
        for heading, conditions in (
            ("by country and condition", [c for c in told if not told[c]]),
            ("by country of the document and country told", [c for c in told if told[c]]),
        ):
            if len(conditions) > 1:
                found.append((
                    f"Run {run} {heading}",
                    "Change of perplexity against the same model told nothing; the colour goes "
                    "with its size, blue where it predicts better, orange where worse. A cell "
                    "whose interval holds 0, or that has none, has no colour."
                    + _left_out(lines),
                    _map(lines, conditions),
                ))  # fmt: skip
    return found


def _names(lines: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(line["name"] for line in lines))


def _left_out(lines: list[dict[str, Any]]) -> str:
    number = len(_names(lines))
    if number <= MOST_COUNTRIES:
        return ""
    return f" {MOST_COUNTRIES} of {number} countries are here; eval.json has all."


def _map(lines: list[dict[str, Any]], conditions: list[str]) -> Table:
    clear = [abs(line["nats"]) for line in lines if loss_verdict(line).tone != "flat"]
    top = max(clear, default=1.0)
    names = _names(lines)[:MOST_COUNTRIES]
    rows = []
    for name in names:
        mine = {line["of"][1]: line for line in lines if line["name"] == name}
        rows.append([
            Cell(place_name("country", name)), *(_cell(mine.get(c), top, name) for c in conditions)
        ])  # fmt: skip
    return Table(("document of", *map(condition_name, conditions)), rows)


def _cell(line: dict[str, Any] | None, top: float, country: str) -> Cell:
    if line is None:
        return Cell("")
    tone = loss_verdict(line).tone
    heat = 0 if tone == "flat" else round(MOST_HEAT * min(1, abs(line["nats"]) / top))
    own = country_told(line["of"][1]) == country
    return Cell(percent(line["ratio"]), "its own" if own else "", tone, heat)


def _tone(low: float | None, high: float | None) -> str:
    return "" if low is None else loss_verdict({"low": low, "high": high}).tone
