"""Which blocks of a page are its article, on pages of the kinds that real ones are of."""

import pyarrow as pa
import pytest
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from benchmarks.prep.shingles import compare_texts, quality
from data_prep.config.dedup import Near
from data_prep.dedup.minhash import signatures
from data_prep.read.article import article
from data_prep.read.blocks import blocks_of
from data_prep.read.main_text import main_content
from data_prep.titles import without_byline

WORDS = ["river", "bridge", "town", "market", "school", "water", "power", "train", "tax", "crop"]


def prose(number: int) -> str:
    """A sentence of its own for each number."""
    first, second = WORDS[number % 10], WORDS[number // 7 % 10]
    return f"The {first} {number} was told of by a {second} that {number}."


PROSE = [f"{prose(n)} {prose(n + 50)}" for n in range(8)]
BODY = "".join(f"<p>{line}</p>" for line in PROSE)


def text_of(body: str) -> list[str]:
    tree = HTMLTree.parse(f"<!DOCTYPE html><html><body>{body}</body></html>")
    return [line for line in article(blocks_of(tree.body.html)).split("\n") if line]


@pytest.mark.parametrize(
    "around",
    [
        "<nav><p>{x}</p></nav>{b}",
        "<header><p>{x}</p></header>{b}<footer><p>{x}</p></footer>",
        '<div class="related-posts"><p>{x}</p></div>{b}',
        '{b}<div id="comments"><p>{x}</p></div>',
        '{b}<div class="siteNewsletter"><p>{x}</p></div>',
        '<div class="cookie-law-info"><p>{x}</p></div>{b}',
        "{b}<div hidden><p>{x}</p></div>",
        '{b}<div style="display: none"><p>{x}</p></div>',
        "<figure><img src=a><figcaption>{x}</figcaption></figure>{b}",
        "{b}<p><a href=/1>{x}</a></p>",
        "<h1>{x}</h1>{b}",
        "{b}<h3>{x}</h3>",
        "<script>var a = '<p>{x}</p>';</script>{b}",
        "{b}<template><p>{x}</p></template>",
        "{b}<noscript><p>{x}</p></noscript>",
        "{b}<!-- <p>{x}</p> -->",
        "{b}<p>Advertisement</p>",
        "{b}<p>Lesen Sie auch: {x}</p>",
        "{b}<p>Lire aussi : {x}</p><p>Publicité</p>",
        "<p>Foto: {x}</p>{b}<p>Baca juga</p>",
        "{b}<p>Getty Images</p>",
    ],
)
def test_what_stands_beside_an_article_is_none_of_it(around):
    html = f"<div class=page><div class=text>{around.format(b=BODY, x=prose(99))}</div></div>"
    assert text_of(html) == PROSE


def test_a_mark_that_holds_the_whole_article_is_not_believed():
    assert text_of(f'<div class="main has-sidebar author-page">{BODY}</div>') == PROSE


@pytest.mark.parametrize("mark", ["paywall", "has-dropcap paywall"])
def test_a_mark_of_each_paragraph_is_not_believed(mark):
    marked = BODY.replace("<p>", f'<p class="{mark}">')
    bio = f'<div class="author-bio"><p>{prose(99)}</p></div>'
    assert text_of(f"<article><p>{prose(98)}</p>{marked}{bio}</article>") == [prose(98), *PROSE]


def test_teasers_are_not_the_article_however_many_they_are():
    many = "".join(
        f'<div class="teaser"><p>{prose(n)} {prose(n + 7)}</p></div>' for n in range(100, 150)
    )
    assert text_of(f"<div><div>{BODY}</div>{many}</div>") == PROSE


@pytest.mark.parametrize(
    "mark", ["comments-list", "commentlist", "sect_kommentare", "commentaires"]
)
def test_comments_are_not_the_article_even_where_they_are_longer(mark):
    many = "".join(f"<p>{prose(n)} {prose(n + 7)}</p>" for n in range(100, 125))
    assert text_of(f'<div>{BODY}</div><div class="{mark}">{many}</div>') == PROSE


def test_of_articles_that_follow_one_another_the_first_is_taken():
    longer = "".join(f"<p>{prose(n)} {prose(n + 7)}</p>" for n in range(100, 112))
    page = f"<main><article>{BODY}</article><div><article>{longer}</article></div></main>"
    assert text_of(page) == PROSE


def test_readings_of_characters_are_left_out_and_break_no_line():
    ruby = "<ruby>日<rp>（</rp><rt>に</rt><rp>）</rp></ruby><ruby><rb>本</rb><rt>ほん</rt></ruby>"
    body = f"<article><p>{ruby}の春です。</p>{BODY}</article>"
    assert text_of(body) == ["日本の春です。", *PROSE]


def test_elements_of_word_processors_break_no_line():
    line = "in <st1:place>Kisumu</st1:place> <nobr>on Monday</nobr>.<o:p></o:p>"
    assert text_of(f"<article>{BODY}<p>{line}</p></article>") == [*PROSE, "in Kisumu on Monday."]


def test_of_several_articles_the_marked_one_is_taken():
    others = "".join(
        f"<div><h2>Story</h2><p>{prose(n)} {prose(n + 3)}</p></div>" for n in range(200, 210)
    )
    page = f'<div><div itemprop="articleBody">{BODY}</div><div>{others}</div></div>'
    assert text_of(page) == PROSE


def test_lines_of_tables_lists_and_breaks_are_lines():
    table = "<table><tr><td>Kisumu</td><td>12</td></tr><tr><td>Nakuru</td><td>9</td></tr></table>"
    body = f"<article>{BODY}{table}<ul><li>One thing</li></ul>a <b>b</b> <i>c</i><br>d</article>"
    tree = HTMLTree.parse(body)
    text = article(blocks_of(tree.body.html))
    assert text.endswith(f"\n\n{PROSE[7]}\n\nKisumu 12\nNakuru 9\nOne thing\n\na b c\nd")
    assert text_of(body) == [*PROSE, "Kisumu 12", "Nakuru 9", "One thing", "a b c", "d"]


def test_entities_and_broken_markup_are_read_as_browsers_read_them():
    body = f"<article>{BODY}<p>Fish &amp; chips &lt;hot&gt;<p>1 < 2 and \"q\" > 'x'</article></div>"
    assert text_of(body) == [*PROSE, "Fish & chips <hot>", "1 < 2 and \"q\" > 'x'"]


def test_deep_and_empty_pages_are_no_trouble():
    assert text_of("") == []
    assert text_of("<div>" * 3000 + BODY) == PROSE


def test_lines_before_the_text_that_tell_author_and_day_go():
    text = f"By Jane Doe\nPublished 3 May 2024\n{PROSE[0]}\nBy the way"
    assert without_byline(text) == f"{PROSE[0]}\nBy the way"
    assert without_byline("By Jane Doe") == "By Jane Doe"


def test_texts_of_one_page_by_other_extractors_are_near_duplicates():
    """Ours, resiliparse's main content, and all text without what is no prose."""
    long = "".join(f"<p>{prose(n)} {prose(n + 500)}</p>" for n in range(40))
    html = (
        f"<nav><a href=/>Home</a></nav><article><h1>A title of this</h1><p>By Jane Doe</p>{long}"
        "<figure><figcaption>A picture of a bridge</figcaption></figure></article>"
        "<footer><p>All rights are reserved by the Daily.</p></footer>"
    )
    tree = HTMLTree.parse(f"<html><body>{html}</body></html>")
    texts = [
        article(blocks_of(tree.body.html)),
        main_content(tree),
        extract_plain_text(tree, main_content=False),
        " ".join(article(blocks_of(tree.body.html)).split()),
    ]
    assert len(set(texts)) == 4
    other = "\n".join(prose(n) for n in range(1000, 1080))
    near = Near()
    minima = signatures(pa.array([*texts, other]), near).minima
    equal = (minima[0] == minima).mean(axis=1)
    assert (equal[:4] >= near.similarity).all() and equal[4] < 0.3


def test_the_measure_counts_runs_of_four_words():
    # a b c d e: two runs; found: b c d e, and c d e f: one right, one too many, one missing.
    assert compare_texts("a b c d e", "b c d e f") == (1, 1, 1)
    assert compare_texts("a b", "a b") == (1, 0, 0) and compare_texts("", "") == (0, 0, 0)
    assert quality([compare_texts("a b c d e", "b c d e f"), compare_texts("a", "")]) == (
        pytest.approx(2 * 0.5 * 0.25 / 0.75), 0.5, 0.25,
    )  # fmt: skip
