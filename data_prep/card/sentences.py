"""Figures as text, and what a card says in sentences; shared by the page and the Markdown."""

import re
from typing import Any

from data_prep.card.data import CardData
from data_prep.quarantine import CUT_BODY
from geo_nemo.common.counts import plural
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.reporting.tables import short

EVIDENCE = {
    "field": "the record says so",
    "outlet": "the outlet table lists the host",
    "international": "the publisher of an international outlet, by the outlet table",
    "domain": "the national domain of the host",
    "likely": "likely from the domain (.gov, .edu, .mil), with no other evidence",
    UNKNOWN: "nothing tells it; the model is told no country",
}
MASKED = {
    "email": "e-mail addresses",
    "ip": "IP addresses",
    "phone": "phone numbers",
    "card": "payment cards",
    "iban": "bank accounts (IBAN)",
    "national_id": "national numbers",
    "now": "gaps of ten words, by NOW",
}
SPLIT_BY = {
    "cluster": "cluster of near-duplicates (a document, where there are none)",
    "host": "host (registrable domain)",
    "year": "year",
}
EMPTY_BY = {
    "cluster": "there are too few documents",
    "host": "every host has more documents than the split may hold",
    "year": "none is of its years",
}
FEW_TEST_DOCUMENTS = 100
# English, and what is taken for it: languages that nobody identified (data_prep.annotate.measures).
QUALITY_SERVES = ("en", "")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def count(number: int) -> str:
    return f"{number:,}"


def size(number: int) -> str:
    """Bytes in decimal units."""
    for value, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        # What rounds up to the next unit is written in it.
        if number >= 0.9995 * value:
            return f"{number / value:.{0 if number >= 99.95 * value else 1}f} {unit}"
    return plural(number, "byte")


def fraction(part: int, whole: int) -> str:
    """A percentage that never shows some as none, nor most as all."""
    if not whole or not part:
        return "0%"
    if part == whole:
        return "100%"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1%"
    return f"{percent:.1f}%" if percent <= 99.9 else ">99.9%"


def visible(text: str) -> str:
    """Text with what is invisible or turns the direction of writing shown as its code point."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def total(data: CardData, kind: str) -> dict[str, int]:
    """Documents of all splits by the values of `kind`, the most frequent first."""
    found: dict[str, int] = {}
    for split in data.splits.values():
        for value, number in getattr(split, kind).items():
            found[value] = found.get(value, 0) + number
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def summary(data: CardData) -> str:
    """What the data are, in a sentence."""
    tokens = "" if data.tokens is None else f" ({short(data.tokens)} tokens)"
    return (
        f"{plural(data.documents, 'document')}{tokens} from "
        f"{plural(len(known_countries(data)), 'country', 'countries')} and "
        f"{plural(data.distinct_hosts, 'host')}: {fraction(data.documents, data.found)} of "
        f"{plural(data.found, 'record')}."
    )


def known_countries(data: CardData) -> list[str]:
    """Countries of the documents, without those of which nothing tells it."""
    return [country for country in data.continents if country != UNKNOWN]


def years(data: CardData) -> str:
    """The span of known years, or that there are none."""
    known = [int(year) for year in total(data, "years") if year != "0"]
    if not known:
        return "unknown"
    return str(known[0]) if len(known) == 1 else f"{min(known)}\u2013{max(known)}"


def split_rule(settings: dict[str, Any]) -> str:
    """How documents came into their splits."""
    splits = settings["splits"]
    by = splits["by"]
    text = f"What must stay together is a {SPLIT_BY[by]}: it is in one split, whole. "
    if by == "year":
        held = ", ".join(map(str, sorted(splits["test_years"])))
        return f"{text}Test is {held}; documents without a date are in train."
    if splits["test_per_continent"] is not None:
        text += f"Test has {count(splits['test_per_continent'])} documents of each continent, "
        text += "shared out among its countries as their documents are"
    else:
        text += f"Test is {splits['test']:.1%} of each country"
    least, most = splits["test_min_per_country"], splits["test_max_per_country"]
    text += f", with {least} to {count(most)} of a country where it has enough; "
    text += f"validation is {splits['validation']:.1%}. "
    return f"{text}Drawn by hash with seed {settings['seed']}."


def limits(data: CardData) -> list[str]:
    """What a user of the data should know that they are not."""
    settings, found = data.settings, []
    found += [line for line in (lost_files(data), empty_splits(data)) if line]
    evidence = total(data, "evidence")
    inferred = sum(number for name, number in evidence.items() if name in ("domain", "likely"))
    if inferred:
        found.append(
            f"The country of {fraction(inferred, data.documents)} of the documents is inferred "
            "from the host's domain. It is where the outlet is, not what the text is about."
        )
    unknown = evidence.get(UNKNOWN, 0)
    if unknown:
        found.append(
            f"Nothing tells the country of {fraction(unknown, data.documents)} of the documents: "
            "they are trained without one. geo-nemo outlets has a table to fill in."
        )
    if data.continents_replaced:
        named = ", ".join(f"{c} {count(n)}" for c, n in sorted(data.continents_replaced.items()))
        found.append(
            f"The continent that {plural(sum(data.continents_replaced.values()), 'record')} named "
            f"gave way to the one that the country has here, by country: {named}."
        )
    found += [line for line in (truncated(data), damaged(data)) if line]
    if data.ambiguous_dates:
        found.append(ambiguous_dates(data))
    if data.unread_dates:
        found.append(unread_dates(data))
    if line := other_texts(data):
        found.append(line)
    if data.unmeasured:
        named = ", ".join(f"{c} {count(n)}" for c, n in sorted(data.unmeasured.items()))
        found.append(f"The measure of quality does not serve all languages; without one: {named}.")
    undated = total(data, "years").get("0", 0)
    if undated:
        found.append(f"{fraction(undated, data.documents)} of the documents have no date.")
    if not settings["annotate"]["languages"]:
        found.append("Languages were not restricted: documents may be in any.")
    languages = total(data, "languages")
    others = sum(number for name, number in languages.items() if name not in QUALITY_SERVES)
    if others:
        found.append(
            f"Quality is made for English: {fraction(others, data.documents)} of the documents are "
            "in other languages, or in none that is certain; compare theirs within a language."
        )
    if settings["dedup"]["near"]["action"] == "none":
        found.append("Near-duplicates were not looked for: test documents may have them in train.")
    elif settings["dedup"]["near"]["action"] == "keep":
        found.append("Near-duplicates are kept: a text may stand in train several times.")
        if settings["splits"]["by"] != "cluster":
            found.append(
                f"Splits are made by {settings['splits']['by']}: test documents may have "
                "near-duplicates in train."
            )
    if settings["splits"]["by"] != "host":
        found.append(
            "Hosts are shared between splits: a test document's host is as a rule known from train."
        )
    if not settings["overlap"]["evaluations"]:
        own = ", only this corpus's own test" if settings["overlap"]["held_out"] else ""
        found.append(f"No evaluation was given to check training texts against{own}.")
    elif settings["overlap"]["action"] == "report":
        found.append("Training texts that overlap with evaluations were reported, not removed.")
    if not settings["clean"]["pii"]:
        found.append("Personal data (e-mail and IP addresses, phone numbers) are not masked.")
    if not settings["clean"]["rules"]:
        found.append("No published quality filter was applied.")
    few = few_tests(data)
    if few:
        found.append(
            f"{plural(len(few), 'country has', 'countries have')} fewer than "
            f"{FEW_TEST_DOCUMENTS} test documents: results for them alone are uncertain."
        )
    return found


def lost_files(data: CardData) -> str:
    """How many files are lost, whole or in part, in a sentence; empty where none is."""
    refused = sum(file.records == 0 for file in data.lost)
    cut = len(data.lost) - refused
    parts = [f"{plural(refused, 'file was', 'files were')} not read"] * bool(refused)
    parts += [f"of {plural(cut, 'file')} only a part was"] * bool(cut)
    return f"{', and '.join(parts)}." if parts else ""


def lost_how(reason: str, detail: str, records: int) -> str:
    """Why a file is lost, and from where on."""
    return f"{reason}: {detail}" + (f" (after {plural(records, 'record')})" if records else "")


def empty_splits(data: CardData) -> str:
    """A sentence where a split that was asked for has no document, with the cause; "" elsewhere."""
    splits = data.settings["splits"]
    by = splits["by"]
    key = {"validation": "validation", "test": "test"}
    if by == "year":
        key = {name: f"{name}_years" for name in key}
    empty = [name for name in key if splits[key[name]] and not data.splits[name].documents]
    return f"There is no {' and no '.join(empty)} document: {EMPTY_BY[by]}." if empty else ""


def few_tests(data: CardData) -> list[str]:
    """Countries with too few test documents for figures of their own."""
    tests = data.splits["test"].countries
    return [
        country
        for country in known_countries(data)
        if country not in tests or tests[country].documents < FEW_TEST_DOCUMENTS
    ]


def drops_file(reason: str) -> str:
    """Where a reader finds a sample of what was dropped."""
    return f"drops/{reason}.jsonl"


def ambiguous_dates(data: CardData) -> str:
    """What became of dates whose day and month cannot be told."""
    return (
        f"{plural(data.ambiguous_dates, 'record has', 'records have')} a date whose day and month "
        f"cannot be told ({visible(data.ambiguous_date)[:40]}): the year was kept. "
        "annotate.ambiguous_dates=day_first or month_first tells it."
    )


def unread_dates(data: CardData) -> str:
    """How many dates could not be read, and which was the first."""
    return (
        f"{plural(data.unread_dates, 'record has', 'records have')} a date that cannot be read "
        f"({visible(data.unread_date)[:60]}), and no other: they count as undated."
    )


def truncated(data: CardData) -> str:
    """How many pages were cut off when they were fetched, and why; empty where none was."""
    marked = {why: number for why, number in data.truncated.items() if why != CUT_BODY}
    told = []
    if marked:
        reasons = ", ".join(f"{why} {count(number)}" for why, number in sorted(marked.items()))
        told.append(
            f"{plural(sum(marked.values()), 'record is', 'records are')} marked by the web "
            f"archive as cut off when fetched (WARC-Truncated: {reasons})"
        )
    if bodies := data.truncated.get(CUT_BODY):
        told.append(
            f"{plural(bodies, 'record has a body that ends', 'records have bodies that end')} "
            "within chunks or compressed data, or short of the Content-Length"
        )
    return f"{'; '.join(told)}; the texts may end early." if told else ""


def damaged(data: CardData) -> str:
    """How many texts have characters that nobody could read; empty where none has."""
    if not data.damaged:
        return ""
    return (
        f"{plural(data.damaged, 'record has', 'records have')} characters that could not be read, "
        "here or before (U+FFFD); where a file's encoding was mistaken, give it: encoding=NAME."
    )


def other_texts(data: CardData) -> str:
    """What to tell where documents were dropped for their ids alone; empty where none was."""
    number = data.clusters.other_texts if data.clusters is not None else 0
    if not number:
        return ""
    return (
        f"{plural(number, 'document was', 'documents were')} dropped for an id that an earlier one "
        "has, with another text. Where ids are numbers of a file's rows, fields.id=null keeps them."
    )
