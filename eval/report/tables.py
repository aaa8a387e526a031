"""The report's tables of results: rows of cells that the template lays out."""

from collections.abc import Iterable, Mapping
from typing import Any

from eval.groups import AND, COMMA
from eval.report.sentences import (
    FEW_PAIRS,
    FEW_QUESTIONS,
    PART_NAMES,
    Verdict,
    accuracy_verdict,
    condition_name,
    interval,
    key_name,
    loss_verdict,
    p_value,
    percent,
    perplexity,
    pick,
    place_name,
    signed,
)
from eval.significance import least_p
from geo_nemo.common.counts import plural
from geo_nemo.reporting.tables import Cell, Table

# Behind a figure of what a model reads and was never trained on.
OFF = "\u2020"


def trained_words(about: dict[str, Any]) -> str:
    """How a model was trained, as far as that is known."""
    if about.get("placebo"):
        return "trained with other documents' metadata (placebo)"
    if about["conditioned"]:
        return "trained with metadata"
    if about["policy_hashes"]:
        return "trained without metadata"
    return "training not known"


def matrix(evaluation: dict[str, Any], part: str) -> Table | None:
    """Perplexity of a part: a line a run, a column a condition."""
    cells = [c for c in evaluation["perplexity"]["cells"]
             if (c["group"], c["part"]) == ("all", part)]  # fmt: skip
    if not cells:
        return None
    conditions = evaluation["conditions"]
    rows = []
    for run, about in evaluation["runs"].items():
        rows.append([Cell(run, trained_words(about))])
        for condition in conditions:
            cell = pick(cells, run=run, condition=condition)
            off = OFF if condition in about.get("off_distribution", ()) else ""
            rows[-1].append(Cell(perplexity(cell["perplexity"]) + off, _ends(cell)))
    return Table(("trained run", *map(condition_name, conditions)), rows)


def bits(evaluation: dict[str, Any]) -> Table | None:
    """Bits per byte of title and body, where models have several tokenizers."""
    about = evaluation["runs"]
    if len({run.get("tokenizer_sha256") for run in about.values()}) < 2:
        return None
    cells = [c for c in evaluation["perplexity"]["cells"]
             if (c["group"], c["part"]) == ("all", "text")]  # fmt: skip
    conditions, rows = evaluation["conditions"], []
    for run in about:
        rows.append([Cell(run, trained_words(about[run]))])
        for condition in conditions:
            cell = pick(cells, run=run, condition=condition)
            off = OFF if condition in about[run].get("off_distribution", ()) else ""
            ends = interval(cell["bits_low"], cell["bits_high"], lambda x: f"{x:.3f}")
            rows[-1].append(Cell(f"{cell['bits_per_byte']:.3f}{off}", ends))
    return Table(("trained run", *map(condition_name, conditions)), rows)


def effects(evaluation: dict[str, Any], part: str) -> Table | None:
    """Paired differences of a part over all documents."""
    lines = [e for e in evaluation["perplexity"]["effects"]
             if (e["group"], e["part"]) == ("all", part)]  # fmt: skip
    if not lines:
        return None
    rows, least = [], least_of(evaluation)
    for effect in lines:
        verdict = loss_verdict(effect)
        rows.append([
            Cell(key_name(effect["of"]), f"against {key_name(effect['against'])}"),
            Cell(verdict.text, tone=verdict.tone),
            Cell(signed(effect["nats"], 4),
                 interval(effect["low"], effect["high"], lambda x: signed(x, 4))),
            Cell(percent(effect["ratio"]),
                 interval(effect["ratio_low"], effect["ratio_high"], percent)),
            Cell(_hosts(effect), p_value(effect.get("p_holm"), least)),
        ])  # fmt: skip
    head = ("compared", "shows", "nats per token", "perplexity", "nats over hosts; p, corrected")
    return Table(head, rows, text=2, name="compare")


def least_of(evaluation: Mapping[str, Any]) -> float:
    """The least p that differences of perplexity can have here, corrected for their number."""
    corrected = sum(e.get("p_holm") is not None for e in evaluation["perplexity"]["effects"])
    return least_p(evaluation["config"]["bootstrap_samples"], corrected)


def places(evaluation: dict[str, Any], effect: dict[str, Any], group: str) -> Table:
    """By the values of a field: perplexities of both sides of a comparison and their difference."""
    wanted = {"group": group, "part": effect["part"]}
    cells = _by_name(evaluation["perplexity"]["cells"], wanted)
    found = _by_name(evaluation["perplexity"]["effects"], wanted)
    continents = evaluation["documents"]["continents"]
    rows = []
    for name, lines in found.items():
        difference = pick(lines, of=effect["of"], against=effect["against"])
        verdict = loss_verdict(difference)
        rows.append([
            Cell(place_name(group, name), continents.get(name, "") if group == "country" else ""),
            Cell(f"{difference['documents']:,}"),
            Cell(f"{difference['tokens']:,}"),
            *(_perplexity(pick(cells[name], run=key[0], condition=key[1]))
              for key in (effect["against"], effect["of"])),
            Cell(percent(difference["ratio"]),
                 interval(difference["ratio_low"], difference["ratio_high"], percent),
                 verdict.tone if difference["low"] is not None else ""),
        ])  # fmt: skip
    head = (group, "documents", "tokens", key_name(effect["against"]), key_name(effect["of"]),
            "change")  # fmt: skip
    return Table(head, rows)


def crossed(evaluation: dict[str, Any], effect: dict[str, Any], kind: str) -> Table:
    """The change of a comparison by two fields: a line a value of the first, a column a second."""
    wanted = {"group": kind, "part": effect["part"]}
    found = _by_name(evaluation["perplexity"]["effects"], wanted)
    known = [
        {e["name"] for e in evaluation["perplexity"]["effects"] if e["group"] == field}
        for field in kind.split(AND)
    ]
    changes = {_pair(name, *known): lines for name, lines in found.items()}
    columns = sorted({second for _, second in changes})
    rows = []
    for first in sorted({first for first, _ in changes}):
        rows.append([Cell(first)])
        for second in columns:
            lines = changes.get((first, second))
            if lines is None:
                rows[-1].append(Cell(""))
                continue
            line = pick(lines, of=effect["of"], against=effect["against"])
            tone = loss_verdict(line).tone if line["low"] is not None else ""
            rows[-1].append(Cell(percent(line["ratio"]), plural(line["tokens"], "token"), tone))
    return Table((kind, *columns), rows)


def _pair(name: str, first: set[str], second: set[str]) -> tuple[str, str]:
    """`gb, sport` as its two values, which may have commas of their own."""
    parts = name.split(COMMA)
    pairs = [(COMMA.join(parts[:at]), COMMA.join(parts[at:])) for at in range(1, len(parts))]
    return next((pair for pair in pairs if pair[0] in first and pair[1] in second), pairs[0])


def by_place(evaluation: dict[str, Any], effect: dict[str, Any]) -> Table | None:
    """Where in the text a difference sits: a line a band of tokens."""
    lines = [
        line for line in evaluation.get("places", [])
        if [*line["of"]] == [*effect["of"]] and [*line["against"]] == [*effect["against"]]
    ]  # fmt: skip
    rows = []
    for line in lines:
        stop = "the end" if line["stop"] is None else f"{line['stop']:,}"
        tone = loss_verdict(line).tone if line["low"] is not None else ""
        rows.append([
            Cell(f"{line['start']:,} to {stop}"),
            Cell(f"{line['documents']:,}"),
            Cell(signed(line["nats"], 3),
                 interval(line["low"], line["high"], lambda x: signed(x, 3)), tone),
            Cell(signed(line["per_token"], 4)),
        ])  # fmt: skip
    head = ("tokens of title and body", "documents", "nats a document", "nats a token")
    return Table(head, rows) if rows else None


def questions(evaluation: dict[str, Any], kind: str, rule: str) -> Table | None:
    """Accuracy of a kind of question: a line a run, a column a condition."""
    cells = [c for c in evaluation["questions"]["cells"]
             if (c["kind"], c["group"], c["rule"]) == (kind, "all", rule)]  # fmt: skip
    if not cells:
        return None
    conditions = evaluation["questions"]["conditions"]
    rows = []
    for run in evaluation["runs"]:
        found = [pick(cells, run=run, condition=condition) for condition in conditions]
        rows.append([Cell(run), *(
            Cell(f"{c['accuracy']:.1%}", interval(c["low"], c["high"], lambda x: f"{x:.0%}"))
            for c in found
        )])  # fmt: skip
    return Table(("trained run", *map(condition_name, conditions)), rows)


def question_effects(evaluation: dict[str, Any], kind: str) -> Table | None:
    """Paired differences of accuracy."""
    lines = [e for e in evaluation["questions"]["effects"] if e["kind"] == kind]
    rows = []
    for effect in lines:
        verdict: Verdict = accuracy_verdict(effect)
        rows.append([
            Cell(key_name(effect["of"]), f"against {key_name(effect['against'])}"),
            Cell(verdict.text, tone=verdict.tone),
            Cell(_points(effect["difference"]),
                 interval(effect["low"], effect["high"], _points, FEW_QUESTIONS)),
            Cell(p_value(effect.get("p_holm"))),
        ])  # fmt: skip
    head = ("compared", "shows", "percentage points", "p, corrected")
    return Table(head, rows, text=2, name="compare") if rows else None


def questions_by_place(evaluation: dict[str, Any], kind: str, group: str) -> Table:
    """Accuracy on a kind of question by continent or country, told nothing and told the truth."""
    rule = evaluation["questions"].get("rule", "by_sum")
    cells = [c for c in evaluation["questions"]["cells"]
             if (c["kind"], c["group"], c["rule"]) == (kind, group, rule)]  # fmt: skip
    conditions = [
        condition
        for condition in ("without", "with")
        if condition in evaluation["questions"]["conditions"]
    ]
    keys = [(run, condition) for run in evaluation["runs"] for condition in conditions]
    rows = []
    for name, lines in _grouped(cells).items():
        found = [pick(lines, run=run, condition=condition) for run, condition in keys]
        rows.append([Cell(place_name(group, name)), Cell(f"{lines[0]['questions']:,}"),
                     *(Cell(f"{c['accuracy']:.0%}") for c in found)])  # fmt: skip
    return Table((group, "questions", *map(key_name, keys)), rows)


def switch(evaluation: dict[str, Any]) -> Table | None:
    """Whether answers follow the country that is told: a line a run."""
    lines = evaluation["questions"].get("switch")
    if not lines:
        return None
    rows = []
    for line in lines:
        off = OFF if line["off_distribution"] else ""
        rows.append([
            Cell(line["run"] + off, plural(line["questions"], "question")),
            *(Cell(f"{line[name]:.1%}",
                   interval(line[f"{name}_low"], line[f"{name}_high"], lambda x: f"{x:.0%}"))
              for name in ("exact", "margin")),
            Cell(signed(line["shift"], 2),
                 interval(line["shift_low"], line["shift_high"], lambda x: signed(x, 2),
                          FEW_PAIRS)),
        ])  # fmt: skip
    head = ("trained run", "both answers follow", "margin follows", "shift of the margin, nats")
    return Table(head, rows)


def floor(evaluation: dict[str, Any]) -> Table | None:
    """Mean nats of a document: what no model can go below, and what each run reaches."""
    lines = (evaluation["floor"] or {}).get("lines")
    if not lines:
        return None
    rows = []
    for line in lines:
        told = "told the origin" if line["condition"] == "with" else "told nothing"
        limit = pick(lines, condition=line["condition"], run=None)
        above = line["title"] + line["body"] - limit["title"] - limit["body"]
        rows.append([
            Cell("floor" if line["run"] is None else line["run"], told),
            Cell(f"{line['title']:.2f}"),
            Cell(f"{line['body']:.2f}"),
            Cell("" if line["run"] is None else signed(above, 2)),
        ])  # fmt: skip
    return Table(("", "title", "body and end", "above the floor"), rows)


def part_tables(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Matrix and effects of each part that has tokens."""
    found = []
    for part, name in PART_NAMES.items():
        table = matrix(evaluation, part)
        if table is not None:
            found.append({"name": name, "matrix": table, "effects": effects(evaluation, part)})
    return found


def _hosts(effect: dict[str, Any]) -> str:
    """The interval that resamples whole hosts, where there are enough of them."""
    if effect.get("host_low") is None:
        return "too few hosts"
    return interval(effect["host_low"], effect["host_high"], lambda x: signed(x, 4))


def _points(value: float) -> str:
    return signed(100 * value, 1)


def _ends(cell: dict[str, Any]) -> str:
    return interval(cell["low"], cell["high"], perplexity)


def _perplexity(cell: dict[str, Any]) -> Cell:
    return Cell(perplexity(cell["perplexity"]))


def _by_name(
    lines: Iterable[dict[str, Any]], wanted: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    return _grouped(e for e in lines if all(e[key] == value for key, value in wanted.items()))


def _grouped(lines: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        found.setdefault(line["name"], []).append(line)
    return found
