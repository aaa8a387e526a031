"""What the linked data and meta tags of a page say, in the shapes that sites give them."""

import json
import time

import pytest

from data_prep.read import linked_data
from data_prep.read.html_worker import extract
from data_prep.read.warc import own_address

TITLE = "Mayor of the town mends its roads"
TEXT = "The council met on Monday to talk about the roads, and nobody knew what to say. " * 5
ARTICLE = {"@type": "NewsArticle", "headline": TITLE, "articleBody": TEXT,
           "datePublished": "2024-05-06T23:30:00-05:00"}  # fmt: skip
OTHER = {"@type": "NewsArticle", "headline": "Another story", "articleBody": "Another one. " * 99}
COMMENT = {"@type": "Comment", "datePublished": "2020-01-01"}
START, END = '<script type="application/ld+json">', "</script>"


def page(
    head="", body="<div id=root></div>", title=TITLE, kind="text/html", start="", metas=frozenset()
):
    html = f"{start}<html><head><title>{title}</title>{head}</head><body>{body}</body></html>"
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n{html}"
    return extract(answer.encode(), 1 << 20, metas)


def script(value, start=START):
    return start + (value if isinstance(value, str) else json.dumps(value)) + END


@pytest.mark.parametrize(
    "head",
    [
        script(ARTICLE),
        script([{"@type": "Organization"}, ARTICLE]),
        script({"@graph": [{"@type": "WebSite"}, ARTICLE, OTHER]}),
        script([OTHER, ARTICLE, COMMENT]),
        script(ARTICLE | {"@type": ["Article", "NewsArticle"]}),
        script(ARTICLE | {"articleBody": [TEXT[:160], TEXT[160:]]}),
        script("//<![CDATA[\n" + json.dumps(ARTICLE) + "\n//]]>"),
        script("<!--" + json.dumps(ARTICLE) + "-->"),
        script(json.dumps(ARTICLE)[:-1]),
        script(json.dumps(ARTICLE | {"by": "x"}).replace('"x"', '"O\\\'Neil"')),
        script(ARTICLE, '<script type="application/ld+json; charset=utf-8">'),
        script(ARTICLE, "<script type=application/LD+JSON>"),
        script({"@type": "WebSite"}) * 12 + script(ARTICLE),
    ],
)
def test_the_article_of_linked_data_is_found_in_every_shape(head):
    found = page(head)
    assert " ".join(found["text"].split()) == TEXT.strip()
    assert (found["extractor"], found["date"]) == ("linked data", "2024-05-06")


@pytest.mark.parametrize(
    ("head", "day"),
    [
        (script([COMMENT, ARTICLE]), "2024-05-06"),
        (script({"@type": "NewsArticle", "dateCreated": "2024-05-06"}), "2024-05-06"),
        (script({"datePublished": "May 6, 2024"}), "2024-05-06"),
        (script({"datePublished": 1714953600}), "2024-05-06"),
        (script({"datePublished": True}), ""),
        (script({"datePublished": 2024050610}), ""),  # an hour, or a moment of 2034
        ('<meta name="DC.date.issued" content="2024-05-06">', "2024-05-06"),
        ('<meta name="sailthru.date" content="2024-05-06 10:00">', "2024-05-06"),
        ('<meta name="Date" content="Mon, 06 May 2024 10:00:00 GMT">', "2024-05-06"),
        ('<meta property="og:published_time" content="1714953600000">', "2024-05-06"),
        ('<meta name="cXenseParse:recs:publishtime" content="2024-05-06T1Z">', "2024-05-06"),
        ('<meta name="date" content="06/05/2024">', ""),
    ],
)
def test_the_day_is_that_of_the_article(head, day):
    assert page(head)["date"] == day


def test_a_script_is_read_once_for_text_day_and_licence(monkeypatch):
    read = []
    monkeypatch.setattr(
        linked_data,
        "_loaded",
        lambda text, load=linked_data._loaded: read.append(text) or load(text),
    )
    cc = "https://creativecommons.org/licenses/by/4.0/"
    found = page(script(ARTICLE | {"license": cc}) + script(OTHER), metas=frozenset(("license",)))
    assert (found["extractor"], found["date"]) == ("linked data", "2024-05-06")
    assert found["meta"] == {"license": cc}
    assert len(read) == 2
    # Whose text and day stand elsewhere has none read.
    read.clear()
    day = '<meta property="article:published_time" content="2024-05-07">'
    assert page(day + script(ARTICLE), f"<article><p>{TEXT}</p></article>")["date"] == "2024-05-07"
    assert not read


@pytest.mark.parametrize("said", ["[" * 1015 + "]" * 1015, "5", '{"@id": 5}', '[{"url": ""}]'])
def test_a_licence_that_is_no_address_is_none(said):
    head = script(f'{{"@type": "Article", "license": {said}, "datePublished": "2024-05-06"}}')
    found = page(head, metas=frozenset(("license",)))
    assert (found["meta"], found["date"]) == ({}, "2024-05-06")


def test_lists_in_lists_take_no_time():
    started = time.process_time()
    assert page(script([[0] * 2000] * 100))["date"] == ""
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("title", "start"),
    [
        ("", '<?xml version="1.0" encoding="UTF-8"?>'),
        (TITLE, '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x">'),
    ],
)
def test_elements_that_xml_closes_at_once_hold_nothing(title, start):
    body = f"<div/><article><h1>{TITLE}</h1><p>{TEXT}</p></article>"
    empty = "<script src='a.js'/><title/>" if not title else "<script src='a.js'/>"
    found = page(empty, body, title, "application/xhtml+xml", start)
    assert (found["text"].strip(), found["title"]) == (TEXT.strip(), TITLE)


def test_the_heading_tells_a_title_that_is_not_there_and_its_end():
    body = f"<article><h1>{TITLE}</h1><p>{TEXT}</p></article>"
    assert page(body=body, title="")["title"] == TITLE
    found = page(body=f"<h1>The Site</h1>{body}", title=f"{TITLE} - The Site")
    assert found["heading"] == TITLE
    assert page('<meta name="og:title" content="Own title">', body)["title"] == "Own title"


@pytest.mark.parametrize(
    "named",
    ["http://localhost:3000/x", "http://10.0.0.5/x", "http://cms/x", "https://a.internal/x",
     "http://[::1]/x", "http://web.local:80/x"],
)  # fmt: skip
def test_the_address_of_the_machine_that_a_page_was_made_on_is_not_its_own(named):
    assert own_address("https://a.com.ng/1", named) == "https://a.com.ng/1"
    assert own_address("https://a.com.ng/1", "https://b.com.ng/2") == "https://b.com.ng/2"
