"""A data card as Markdown, for a repository or a model hub."""

import json
import re
from collections.abc import Sequence
from html import escape

from data_prep.card.data import CardData
from data_prep.card.fields import field_notes, shown_values, value_words
from data_prep.card.figures import language_rates
from data_prep.card.page import COMMAND, SHOWN_INPUTS, continents, places, reasons
from data_prep.card.sentences import (
    EVIDENCE,
    MASKED,
    count,
    fraction,
    limits,
    lost_files,
    lost_how,
    size,
    split_rule,
    summary,
    total,
    visible,
    years,
)
from data_prep.card.told import looked_for, told
from geo_nemo.common.counts import plural

SHOWN_VALUES = 8
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~])")


def to_markdown(data: CardData) -> str:
    """The card as Markdown; the same card gives the same text."""
    parts = [
        f"# Data card: {text(data.title)}",
        summary(data),
        "## From records to documents",
        _table(
            ("step", "reason", "records", "of all", "meaning"),
            [(r.step, f"`{r.name}`", r.records, r.fraction, r.meaning) for r in reasons(data)],
        )
        if reasons(data)
        else "Nothing was dropped.",
        f"Of {plural(data.found, 'record')}, "
        f"{plural(data.documents, 'document was', 'documents were')} kept. "
        "`drops/` holds a sample of each reason, to read.",
        f"### Files that were not read\n\n{lost_files(data)}" if data.lost else "",
        _table(
            ("file", "why"),
            [(text(f.name), text(lost_how(f.reason, f.detail, f.records)))
             for f in data.lost[:SHOWN_INPUTS]],
        ),
        _table(
            ("file", "how it was read"),
            [(text(f.name), text(f.note)) for f in data.notes[:SHOWN_INPUTS]],
        ),
        "## Countries and splits",
        split_rule(data.settings),
        _places("continent", continents(data)),
        _places("country", places(data)),
        "## Years, languages, sources",
        f"Years: {years(data)}.",
        _counts(("year", "documents"), dict(sorted(total(data, "years").items())), data,
                {"0": "unknown"}),
        _languages(data),
        _counts(("source", "documents"), total(data, "sources"), data),
        *_fields(data),
        "## How the country was known",
        _table(
            ("evidence", "documents", "share", "meaning"),
            [
                (text(name), count(number), fraction(number, data.documents), EVIDENCE.get(name,
                "")) for name, number in total(data, "evidence").items()
            ],
        ),
        "## Hosts with most documents",
        _table(
            ("host", "documents", "share"),
            [(text(h.host), count(h.documents), fraction(h.documents, data.documents))
             for h in data.hosts],
        ),
        f"Of {plural(data.distinct_hosts, 'host')}.",
        _counts(("text of web pages by", "documents"), data.extractors, data)
        if data.extractors
        else "",
        _unplaced(data),
        "## Copies",
        _clusters(data),
        "## Overlap with evaluations",
        _table(
            ("evaluation", "texts", "found in train", "training documents"),
            [(text(row.name), count(row.texts), count(row.contaminated), count(row.documents))
             for row in data.overlap],
        )
        if data.overlap
        else "None was checked.",
        "## Masked in texts",
        _counts(("kind", "times"), data.masked, None, MASKED) if data.masked else "Nothing.",
        "## What metadata tell" if told(data) else "",
        "\n".join(f"- {text(line)}" for line in told(data)),
        "## Limits",
        "\n".join(f"- {line}" for line in (*looked_for(data), *limits(data))),
        "## Licence",
        "*To be filled in by whoever publishes these data: the licence of each source, the terms "
        "under which the texts may be passed on, and whom to write to about removal.*",
        "## To build it again",
        f"```\n{COMMAND}\n```\nwith these settings in `prep.yaml` and an `output`:",
        f"```json\n{_fenced(json.dumps(data.settings, indent=1, sort_keys=True))}\n```",
        _inputs(data),
        _table(("SHA-256 of", ""), [(text(k), f"`{v}`") for k, v in sorted(data.hashes.items())]),
    ]  # fmt: skip
    if data.tokenizer is not None:
        parts.append(
            f"Tokenizer: {text(data.tokenizer.kind)}, {count(data.tokenizer.vocab_size)} pieces, "
            f"SHA-256 `{data.tokenizer.sha256}`."
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def text(value: str) -> str:
    """Text from the data, so that it is neither markup nor a cell's end."""
    return _SPECIAL.sub(r"\\\1", escape(" ".join(visible(value).split()), quote=False))


def _fenced(value: str) -> str:
    """Text that cannot end its fence."""
    return value.replace("```", "`\u200b``")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _places(name: str, found) -> str:
    head = (name, "train", "validation", "test", "tokens", "tokens a byte", "share")
    return _table(
        head,
        [
            (f"{text(p.name)} ({text(p.code)})" if p.code else text(p.name), *p.splits,
             p.tokens or "\u2013", p.rate or "\u2013", p.fraction)
            for p in found
        ],
    )  # fmt: skip


def _languages(data: CardData) -> str:
    rates = language_rates(data)
    rows = [
        (text(name) or "not identified", count(number), fraction(number, data.documents),
         rates.get(name, "\u2013"))
        for name, number in total(data, "languages").items()
    ]  # fmt: skip
    return _table(("language", "documents", "share", "tokens a byte"), rows)


def _counts(
    head: Sequence[str],
    counts: dict[str, int],
    data: CardData | None,
    named: dict[str, str] | None = None,
) -> str:
    rows = []
    for value, number in counts.items():
        shown = (named or {}).get(value) or text(value)
        row = [shown, count(number)]
        rows.append(row if data is None else [*row, fraction(number, data.documents)])
    return _table([*head] if data is None else [*head, "share"], rows)


def _fields(data: CardData) -> list[str]:
    if not data.fields:
        return []
    rows = [
        (text(name), field.kind, count(field.documents), fraction(field.documents, data.documents),
         value_words(field), ", ".join(map(text, shown_values(field, SHOWN_VALUES))))
        for name, field in data.fields.items()
    ]  # fmt: skip
    head = ("field", "type", "documents", "share", "values", "those with most tokens")
    notes = "\n".join(f"- {text(line)}" for line in field_notes(data))
    return ["### Metadata of the input", _table(head, rows), notes]


def _unplaced(data: CardData) -> str:
    if not data.unplaced:
        return ""
    rows = [
        (text(h.host), count(h.documents), count(h.dropped), size(h.bytes)) for h in data.unplaced
    ]
    table = _table(("host of no country", "documents", "dropped", "text"), rows)
    return f"{table}\n\nOf {plural(data.unplaced_hosts, 'host')}: `geo-nemo outlets missing`."


def _clusters(data: CardData) -> str:
    found = data.clusters
    if found is None or not found.clusters:
        return "No document had a copy."
    largest = ", ".join(map(count, found.largest))
    several = ("cluster of several documents holds", "clusters of several documents hold")
    hold = "holds" if len(found.largest) == 1 else "hold"
    return (
        f"{plural(found.clusters, *several)} {count(found.documents_in_clusters)}; the largest "
        f"{hold} {largest}."
    )


def _inputs(data: CardData) -> str:
    rows = [(text(f.name), size(f.bytes), f"`{f.xxh3_128}`") for f in data.inputs[:SHOWN_INPUTS]]
    table = _table(("input", "size", "xxh3-128"), rows)
    more = len(data.inputs) - len(rows)
    return f"{table}\n\nand {plural(more, 'more file')}, listed in report.json." if more else table
