"""The card's pages: what they say, and that nothing from the data becomes markup."""

import re
from html.parser import HTMLParser

import pytest
from pydantic import ValidationError

from data_prep.card.fields import field_notes
from data_prep.card.figures import funnel, length_columns, median_length, quality_columns
from data_prep.card.figures import year_columns as columns_of_years
from data_prep.card.markdown import text, to_markdown
from data_prep.card.page import SHOWN_INPUTS, to_html
from data_prep.card.sentences import fraction, limits, short, size, split_rule, visible
from tests.unit.data_prep.card.cards import DROPPED, card, split

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202ecba</style>|`*_[x](y)'
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements and texts of a page; fails where an element is not closed in order."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def hostile_card():
    train = split("train")
    number = train["documents"]
    train["sources"] = train["languages"] = train["evidence"] = {HOSTILE: number}
    return card(
        title=HOSTILE,
        splits={
            "train": train, "validation": split("validation"), "test": split("test"),
        },
        hosts=[{"host": HOSTILE, "documents": 5}],
        overlap=[{"name": HOSTILE, "texts": 3, "contaminated": 1, "documents": 1}],
        masked={HOSTILE: 3},
        examples=[{"host": HOSTILE, "country": "ke", "continent": "Africa", "title": HOSTILE,
                   "beginning": HOSTILE}],
        inputs=[{"name": HOSTILE, "bytes": 1, "xxh3_128": "00"}],
        settings=card().settings | {"note": HOSTILE},
    )  # fmt: skip


def test_nothing_from_the_data_becomes_an_element_or_an_attribute():
    plain, hostile = Page(to_html(card())), Page(to_html(hostile_card()))
    names = {tag for tag, _ in hostile.elements}
    assert names <= {tag for tag, _ in plain.elements}
    assert not names & {"script", "img", "iframe", "object", "link"}
    for _, attributes in hostile.elements:
        assert not any(name.startswith("on") for name in attributes)
    assert hostile.text.count("alert(1)") >= 8
    assert "\u202e" not in hostile.text
    assert "[U+202E]" in hostile.text


def test_the_page_loads_nothing():
    page = to_html(hostile_card())
    for tag, attributes in Page(page).elements:
        for name in ("src", "href", "srcset", "action", "data"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "drops/")), (tag, target)
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_links_inside_the_page_lead_somewhere():
    elements = Page(to_html(card())).elements
    anchors = {a["id"] for _, a in elements if "id" in a}
    targets = {a["href"][1:] for _, a in elements if (a.get("href") or "").startswith("#")}
    assert targets == anchors


def test_nothing_from_the_data_is_markup_in_markdown():
    lines = to_markdown(hostile_card()).splitlines()
    inside = False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            assert "<script" not in line
            assert "](y)" not in line
    assert not inside
    # Every row of a table has as many cells as its head.
    for head, rows in tables(lines):
        assert {cells(row) for row in rows} == {cells(head)}


def tables(lines):
    """(head, rows) of each table."""
    found, block = [], []
    for line in [*lines, ""]:
        if line.startswith("|"):
            block.append(line)
        elif block:
            found.append((block[0], block[1:]))
            block = []
    return found


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row))


def test_text_of_the_data_is_escaped_once_and_on_one_line():
    assert text("a|b") == "a\\|b"
    assert text("two\nlines\x00") == "two lines\\[U\\+0000\\]"
    assert text("<b> & c") == "&lt;b&gt; &amp; c"


def test_the_same_card_gives_the_same_pages():
    assert to_html(card()) == to_html(card())
    assert to_markdown(card()) == to_markdown(card())


def test_the_figures_of_the_card_are_on_both_pages():
    page, markdown = Page(to_html(card())).text, to_markdown(card())
    for known in ("61,785", "44,463", "41,807", "4,210", "17,057", "1,874", "LocalNewsQA",
                  "gopher_quality.stop_words", "ab" * 32, "4f" * 32):  # fmt: skip
        assert known in page
        assert known in markdown


def test_the_funnel_ends_at_the_documents():
    bars = funnel(card())
    assert [bar.name for bar in bars] == [
        "Records", "Reading", "Origin", "Language", "Cleaning", "Exact copies", "Near-duplicates",
        "Balance", "Evaluation overlap",
    ]  # fmt: skip
    assert (bars[0].figure, bars[-1].figure) == ("61,785", "44,463")
    assert bars[2].note == "\u22124,521 (7.3%)"
    assert bars[2].widths == (round(100 * 57252 / 61785, 2), round(100 * 4521 / 61785, 2))


def test_a_card_whose_counts_do_not_add_up_is_refused():
    with pytest.raises(ValidationError, match="61786 records less what was dropped are 44464"):
        card(found=61786)


def only(name: str, **values):
    """A card whose train split alone holds these values."""
    empty = {"years": {}, "lengths": [0] * 45, "quality": [0] * 101}
    splits = {other: split(other, **empty) for other in ("validation", "test")}
    return card(splits={"train": split("train", **empty | {name: values["of"]}), **splits})


def test_years_without_documents_are_empty_columns_and_many_years_are_joined():
    few = columns_of_years(only("years", of={"0": 9, "2001": 4, "2004": 8}))
    assert [c.title for c in few.columns] == [
        "2001: 4 documents", "2002: 0 documents", "2003: 0 documents", "2004: 8 documents",
    ]  # fmt: skip
    assert [c.heights for c in few.columns] == [(50, 0, 0), (0, 0, 0), (0, 0, 0), (100, 0, 0)]
    many = columns_of_years(only("years", of={"1803": 1, "1809": 1, "2024": 2}))
    assert [c.title for c in many.columns[:2]] == [
        "1800\u20131804: 1 document", "1805\u20131809: 1 document",
    ]  # fmt: skip
    assert len(many.columns) == 45
    assert columns_of_years(only("years", of={"0": 3, "2001": 2})) is None


def test_lengths_name_their_limits():
    lengths = [0] * 45
    lengths[20], lengths[21] = 3, 1
    data = only("lengths", of=lengths)
    assert [c.title for c in length_columns(data).columns] == [
        "1,024 to 1,448 characters: 3 documents", "1,449 to 2,047 characters: 1 document",
    ]  # fmt: skip
    assert median_length(data) == "1,024 to 1,448"


def test_the_best_quality_is_in_the_last_column():
    quality = [0] * 101
    quality[0], quality[1], quality[99], quality[100] = 1, 2, 4, 8
    columns = quality_columns(only("quality", of=quality)).columns
    assert len(columns) == 50
    assert (columns[0].title, columns[-1].title) == (
        "quality 0 to 1: 3 documents", "quality 98 to 100: 12 documents",
    )  # fmt: skip


def test_a_card_of_nothing_but_one_document_has_its_pages():
    one = {
        "documents": 1, "text_bytes": 9, "tokens": None,
        "countries": {"ke": {"documents": 1, "text_bytes": 9, "tokens": None}},
        "languages": {"": 1}, "years": {"0": 1}, "sources": {"default": 1},
        "evidence": {"field": 1}, "quality": [1, *[0] * 100], "lengths": [1, *[0] * 44],
    }  # fmt: skip
    none = one | {
        "documents": 0, "text_bytes": 0, "countries": {}, "quality": [0] * 101,
        "lengths": [0] * 45, "languages": {}, "years": {}, "sources": {}, "evidence": {},
    }  # fmt: skip
    data = card(
        found=1, steps=[], splits={"train": one, "validation": none, "test": none},
        continents={"ke": "Africa"}, country_names={"ke": "Kenya"}, hosts=[], distinct_hosts=1,
        clusters=None, overlap=[], masked={}, tokenizer=None, examples=[], inputs=[], hashes={},
    )  # fmt: skip
    page = Page(to_html(data)).text
    assert "1 document from 1 country and 1 host: 100% of 1 record." in page
    assert "Nothing was dropped." in page
    assert "Kenya" in to_markdown(data)


def test_limits_say_what_was_not_done():
    settings = card().settings
    assert not any("not masked" in line for line in limits(card()))
    bare = settings | {
        "clean": {"pii": [], "rules": []},
        "dedup": {"near": {"action": "none"}},
        "overlap": {"evaluations": [], "held_out": False, "action": "remove"},
        "annotate": {"languages": []},
    }
    found = " ".join(limits(card(settings=bare)))
    for known in ("not masked", "No published quality filter", "Near-duplicates were not looked",
                  "Quality is made for English: 3.0% of the documents are in other languages",
                  "No evaluation was given", "may be in any", "18.2% of the documents have no date",
                  "20.0% of the documents is inferred"):  # fmt: skip
        assert known in found


@pytest.mark.parametrize("by", ["cluster", "host", "year"])
def test_kept_near_duplicates_may_be_in_two_splits_unless_these_are_of_clusters(by):
    years = {"test_years": [2024]} if by == "year" else {}
    settings = card().settings | {"splits": card().settings["splits"] | {"by": by} | years}
    settings["dedup"] = {"near": {"action": "keep"}}
    told = f"Splits are made by {by}: test documents may have near-duplicates in train."
    assert (told in limits(card(settings=settings))) == (by != "cluster")


def test_continents_that_gave_way_are_told_by_country():
    told = "The continent that 1,207 records named gave way to the one that the country has here"
    assert not any("gave way" in line for line in limits(card()))
    data = card(continents_replaced={"tr": 1200, "cy": 7})
    assert f"{told}, by country: cy 7, tr 1,200." in limits(data)
    assert told in to_markdown(data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"by": "host"}, "There is no validation and no test document: every host has more"),
        ({"by": "host", "test": 0}, "There is no validation document: every host has more"),
        ({"by": "cluster"}, "There is no validation and no test document: there are too few"),
        ({"by": "year", "test_years": [1999]}, "There is no test document: none is of its years"),
    ],
)
def test_a_split_that_was_asked_for_and_is_empty_is_told_first(changes, words):
    settings = card().settings
    nothing = {"documents": 0, "countries": {}}
    splits = {name: split(name, **nothing) for name in ("validation", "test")}
    train = split("train")
    data = card(
        found=train["documents"] + sum(DROPPED.values()),
        splits={"train": train, **splits},
        settings=settings | {"splits": settings["splits"] | changes},
    )
    assert limits(data)[0].startswith(words)
    assert words in to_markdown(data)
    assert not any("There is no" in line for line in limits(card()))


def test_the_rule_of_the_split_in_words():
    settings = card().settings
    by_year = settings["splits"] | {"by": "year", "test_years": [2024, 2023]}
    assert "Test is 2023, 2024;" in split_rule(settings | {"splits": by_year})
    fractions = settings["splits"] | {"test_per_continent": None}
    assert "Test is 4.0% of each country, with 2 to 5,000" in split_rule(
        settings | {"splits": fractions}
    )


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 9, "0%"), (9, 9, "100%"), (1, 100_000, "<0.1%"), (99_999, 100_000, ">99.9%"),
     (1, 3, "33.3%"), (0, 0, "0%")],
)  # fmt: skip
def test_fractions_never_round_some_to_none_or_most_to_all(part, whole, expected):
    assert fraction(part, whole) == expected


def test_of_each_thing_there_may_be_one():
    train = split("train", years={"2020": 1}, languages={"en": 1}, sources={"a": 1})
    one = {"gb": {"documents": 1, "text_bytes": 9, "tokens": 2}}
    train |= {"documents": 1, "text_bytes": 9, "tokens": 2, "countries": one}
    nothing = {"documents": 0, "countries": {}, "text_bytes": 0, "tokens": 0}
    splits = {"train": train, **{n: split(n, **nothing) for n in ("validation", "test")}}
    field = {"kind": "category", "numbered": True, "documents": 1, "values": 1,
             "top": {"a": 1}, "changed": {"cut": 1}}  # fmt: skip
    data = card(
        found=1, steps=[], splits=splits, distinct_hosts=1, unplaced_hosts=1,
        unplaced=[{"host": "a.b", "documents": 1, "dropped": 0, "bytes": 1}],
        clusters={"clusters": 1, "documents_in_clusters": 2, "largest": [2]},
        inputs=[{"name": "a", "bytes": 1, "xxh3_128": "00"}], fields={"topic": field},
        truncated={"length": 1}, damaged=1, ambiguous_dates=1, unread_dates=1,
        lost=[{"name": "b", "reason": "empty_file", "detail": "", "records": 1}],
        notes=[{"name": f"{n}", "note": "x"} for n in range(SHOWN_INPUTS + 1)],
    )  # fmt: skip
    said = Page(to_html(data)).text, to_markdown(data), " ".join(field_notes(data))
    nouns = "documents|records|hosts|countries|files|clusters|values|tokens|bytes|more are"
    assert [re.findall(rf"\b1 (?:[a-z]+ )?(?:{nouns})\b", text) for text in said] == [[], [], []]


def test_numbers_with_units():
    assert [short(n) for n in (999, 1000, 15_630_000, 123_456)] == ["999", "1k", "15.6M", "123k"]
    assert [size(n) for n in (999, 1500, 31_204_881, 128_900_000)] == [
        "999 bytes", "1.5 kB", "31.2 MB", "129 MB",
    ]  # fmt: skip
    # What rounds up to another unit, or to a hundred, is written so.
    assert [size(n) for n in (1, 999_499, 999_960, 99_960_000)] == [
        "1 byte", "999 kB", "1.0 MB", "100 MB",
    ]  # fmt: skip
    assert visible("a\u200bb\x07") == "a[U+200B]b[U+0007]"
