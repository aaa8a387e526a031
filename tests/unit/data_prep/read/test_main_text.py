"""Which way finds the text of a page."""

import orjson
import pytest
from resiliparse.parse.html import HTMLTree

from data_prep.clean import Cleaner
from data_prep.config import Clean
from data_prep.read.linked_data import Scripts
from data_prep.read.main_text import ARTICLE, LINKED, SCRIPT, SECOND, main_text
from tests.unit.data_prep.read.samples import raws, read_bytes, response, warc_record

CC = "https://creativecommons.org/licenses/by/4.0/"
SENTENCE = "The council of the town met on Tuesday to talk about the new bridge over the river. "


def page(body: str, head: str = "") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"


def linked(text: str, headline: str = "") -> str:
    data = {"@type": "NewsArticle", "headline": headline, "articleBody": text}
    data = orjson.dumps(data).decode()
    return f'<script type="application/ld+json">{data}</script>'


def found(html: str) -> tuple[str, str]:
    tree = HTMLTree.parse(html)
    return main_text(tree, Scripts(tree))


def test_main_content_is_taken_where_there_is_enough():
    text, way = found(page(f"<article><p>{SENTENCE * 8}</p></article>", linked("Other " * 900)))
    assert way == ARTICLE and text.startswith("The council")


def test_linked_data_is_taken_where_the_page_shows_none():
    body = f"<p>{SENTENCE * 3}</p><p>“Quoted” &amp; more.</p>"
    text, way = found(page("<div id=app></div>", linked(body * 2)))
    assert way == LINKED
    assert text.splitlines()[0] == (SENTENCE * 3).strip() and "<p>" not in text


def test_linked_data_is_taken_where_the_page_shows_a_short_part_of_it():
    start = SENTENCE * 4
    whole = start + "\n" + "And then it told more of it. " * 50
    shown = f"<article><p>{start}</p></article>"
    assert found(page(shown, linked(whole)))[1] == LINKED
    # Of another part of the page the headline tells it.
    bio = f"<article><p>{'Jane Doe writes about towns for the Post. ' * 8}</p></article>"
    assert found(page(bio, linked(whole)))[1] == ARTICLE
    titled = page(
        bio, "<title>A bridge for the town</title>" + linked(whole, "A bridge for the town")
    )
    assert found(titled)[1] == LINKED


def next_js(html: str) -> str:
    """As Next.js sends it: a row of text, cut into pieces, among rows of JSON."""
    text = html.encode()
    rows = f'0:{{"P":null}}\n2f:T{len(text):x},{html}30:["$","div",null,{{"children":"$2f"}}]\n'
    pieces = [rows[at : at + 300] for at in range(0, len(rows), 300)]
    return "".join(
        f"<script>self.__next_f.push([1,{orjson.dumps(piece).decode()}])</script>"
        for piece in pieces
    )


def next_data(html: str) -> str:
    data = orjson.dumps({"props": {"pageProps": {"article": {"body": html}}}}).decode()
    return f'<script id="__NEXT_DATA__" type="application/json">{data}</script>'


def assigned(html: str) -> str:
    data = orjson.dumps({"content": [{"id": 7, "html": html}]}).decode().replace("</", "<\\/")
    return f"<script>var a = 1; window.__STATE__ = {data};</script>"


@pytest.mark.parametrize("scripts", [next_js, next_data, assigned])
@pytest.mark.parametrize(
    ("title", "sentence"),
    [("New bridge over the river of Kisumu town", SENTENCE),
     ("다리 공사 시작", "시는 강 위에 새 다리를 놓는 공사를 화요일에 시작했다고 밝혔다. ")],
)  # fmt: skip
def test_the_article_is_found_in_scripts_where_the_page_shows_none(scripts, title, sentence):
    html = f"<p>{sentence * 6}</p><p>“Quoted” &amp; more.</p><p>{sentence * 4}</p>"
    other = scripts(f"<p>{'Nothing of it is told here, alas. ' * 30}</p><p>At all.</p>" * 2)
    body = f"<div id=app></div>{other}{scripts(html)}"
    text, way = found(page(body, f"<title>{title}</title>"))
    assert way == SCRIPT
    assert text.split("\n\n") == [
        (sentence * 6).strip(),
        "“Quoted” & more.",
        (sentence * 4).strip(),
    ]
    assert found(page(body, "<title>Something else altogether happened</title>")) == ("", ARTICLE)


def test_scripts_of_any_kind_end_no_page():
    deep = '<script type="application/json">' + "[" * 5000 + "]" * 5000 + "</p></p></script>"
    cut = '<script>self.__next_f.push([1,"1:Tffff,<p>short</p>"])</script>'
    half = '<script>self.__next_f.push([1,"\\ud83d</p>"])</script>'
    no_json = '<script>self.__next_f.push([1,"\\x27</p>"]); x = {</p>' + " " * 500 + "</script>"
    assert found(page(deep + cut + half + no_json)) == ("", ARTICLE)


def test_a_header_that_is_never_closed_does_not_hide_the_page():
    items = "".join(f"<p>{SENTENCE * 2}</p>" for _ in range(4))
    text, way = found(page(f"<header><div>Menu</div><div>{items}</div>"))
    assert way == ARTICLE and text.count("The council") == 8 and "Menu" not in text


def test_broken_linked_data_is_passed_over():
    broken = '<script type="application/ld+json">{"articleBody": "never ends</script>'
    assert found(page("<div></div>", broken)) == ("", ARTICLE)
    raw = '<script type="application/ld+json">{"articleBody": "%s\n%s"}</script>'
    text, way = found(page("", raw % (SENTENCE, SENTENCE)))
    assert way == LINKED and text.count("council") == 2


def test_resiliparse_is_asked_last():
    # Marked as a comment, and so no part of an article; there is no linked data either.
    items = "".join(f"<dd>item {n}, no prose</dd>" for n in range(30))
    text, way = found(page(f"<div class='widget'>{items}</div>"))
    assert (way, text) in ((SECOND, text), (ARTICLE, "")) and "<dd>" not in text


def test_a_page_gives_title_and_body_once_each(tmp_path):
    html = page(
        f"<article><h1>Maize prices rise in Kisumu</h1><p>By Jane Doe</p>"
        f"<p>{SENTENCE * 4}</p><p>{SENTENCE * 4}</p></article>",
        "<title>Maize prices rise in Kisumu | The Citizen</title>"
        '<link rel="canonical" href="https://www.thecitizen.co.tz/news/1">',
    )
    data = warc_record(response(html.encode()), number=1)
    (fields,) = raws(read_bytes(tmp_path, "a.warc", data))
    assert fields["title"] == "Maize prices rise in Kisumu"
    assert fields["url"] == "https://www.thecitizen.co.tz/news/1"
    assert fields["text"].startswith("The council") and fields["extractor"] == ARTICLE


def test_files_of_one_s_own_are_cut_where_it_is_asked_for():
    from tests.unit.data_prep.annotate.test_annotator import annotate

    text = f"Story of the day\n{SENTENCE}"
    kept = Cleaner(Clean()).clean(annotate(title="Story of the day", text=text))
    cut = Cleaner(Clean(repeated_title="cut")).clean(annotate(title="Story of the day", text=text))
    assert (kept.text, cut.text) == (text.strip(), SENTENCE.strip())
    assert cut.hash != kept.hash


def scripted(data):
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    return f'<script type="application/ld+json">{text}</script>'


@pytest.mark.parametrize(
    "html",
    [
        f'<link rel="license" href="{CC}">', f'<p><a rel="nofollow license" href="{CC}">CC</a></p>',
        f'<p>See <a href="{CC}">the licence</a>.</p>', f'<meta name="DC.rights" content="{CC}">',
        scripted({"@type": "NewsArticle", "license": CC}),
        scripted({"@graph": [{"@type": ["WebPage"], "license": {"@id": CC}}]}),
        # As sites write it that are no machines: with what JSON has not.
        scripted("//<![CDATA[\n" + orjson.dumps({"@type": "Article", "license": CC}).decode()
                 + "\n//]]>"),
        scripted(f'{{"@type": "Article", "about": "O\\\'Neil\n", "license": "{CC}"}}'),
        scripted({"@type": "WebSite"}) * 12 + scripted({"@type": "Article", "license": CC}),
        # A picture's licence is not the page's, and damaged data are passed over.
        scripted({"@type": "ImageObject", "license": "https://a.example"}) + scripted("{license")
        + scripted([7, {"@type": "Article", "license": [None, {"url": CC}]}])
        + '<a href="https://creativecommons.org/publicdomain/zero/1.0/">CC0</a>',
    ],
)  # fmt: skip
def test_the_licence_that_a_page_names_is_a_field_where_it_is_asked_for(tmp_path, html):
    data = warc_record(response(page(f"<article><p>{SENTENCE * 6}</p>{html}</article>").encode()))
    (bare,) = raws(read_bytes(tmp_path, "a.warc", data))
    assert "license" not in bare and "extra.license" not in bare
    fields = {"extra": {"license": "license"}}
    (found,) = raws(read_bytes(tmp_path, "a.warc", data, fields=fields))
    assert found["extra.license"] == CC


def test_escapes_and_entities_of_linked_data_are_text():
    body = f'He said: "No."\n{SENTENCE * 3}\nTea &amp; bread \u20ac 5.'
    text, way = found(page("<div id=app></div>", linked(body)))
    assert way == LINKED
    assert text == f'He said: "No."\n{(SENTENCE * 3).strip()}\nTea & bread \u20ac 5.'
    half = '<script type="application/ld+json">{"articleBody": "\\ud83d %s"}</script>'
    assert found(page("", half % (SENTENCE * 3)))[1] == LINKED
