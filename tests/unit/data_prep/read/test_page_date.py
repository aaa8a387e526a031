"""The day of a page that neither meta tags nor linked data tell."""

import pytest

from data_prep.read.html_worker import extract

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"


def day(body: str, head: str = "") -> str:
    html = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"
    return extract(HEAD + html.encode(), 1 << 20)["date"]


def time(value: str, kind: str = "") -> str:
    return f'<time datetime="{value}T09:00:00Z" class="{kind}">then</time>'


@pytest.mark.parametrize(
    "element",
    [
        '<span itemprop="datePublished" content="2024-05-06">yesterday</span>',
        '<div itemprop="dateCreated datePublished">May 6, 2024</div>',
        '<abbr class="published" title="2024-05-06T10:00:00+03:00">10:00</abbr>',
        '<span property="schema:dateCreated" content="2024-05-06T10:00:00"></span>',
        '<time pubdate datetime="2024-05-06">then</time>',
        time("2024-05-06", "entry-date published"),
        '<div itemprop="datePublished">2024-5-6 22:17</div>',
        '<div itemprop="datePublished">2024/05/06</div>',
    ],
)
def test_an_element_that_is_marked_as_the_day_of_publication_tells_it(element):
    assert day(f"{time('2024-06-01')}<p>Text</p>{element}") == "2024-05-06"


def test_of_an_article_s_times_the_first_is_its_own_where_it_is_the_earliest():
    own, update, older = time("2024-05-06"), time("2024-05-07"), time("2021-01-02")
    assert day(f"<article>{own}{update}<p>Text</p></article>") == "2024-05-06"
    # Teasers of other articles, which are articles themselves.
    assert day(f"<article>{own}</article><article>{older}</article>") == ""


def test_times_of_other_articles_do_not_go_before_the_linked_data():
    linked = '<script type="application/ld+json">{"datePublished": "2024-05-06"}</script>'
    teasers = f"<article>{time('2019-01-02')}</article><article>{time('2019-01-03')}</article>"
    assert day(teasers, linked) == "2024-05-06"


def test_the_one_day_that_all_times_tell_is_the_page_s():
    assert day(f"<div>{time('2024-05-06')}</div><p>Text</p>{time('2024-05-06')}") == "2024-05-06"
    assert day(f"<div>{time('2024-05-06')}</div><p>Text</p>{time('2024-05-08')}") == ""
    assert day("<p>Text</p><time>soon</time>") == ""


@pytest.mark.parametrize(
    ("written", "expected"),
    [("25.01.2022 - 14:45", "2022-01-25"), ("01/25/2022", "2022-01-25"),
     ("11.11.2021", "2021-11-11"), ("10/05/2022 05:22 pm", ""), ("31.31.2022", ""),
     ("25.01-2022", ""), ("Fri, 03 May 2024 23:30:00 -0500", "2024-05-03"),
     ("Fri, 03 May 2024 23:30:00 +0100 (BST)", "2024-05-03"),
     # What software writes that knows no date; .NET's is the year 1.
     ("Thu, 01 Jan 1970 00:00:00 GMT", ""), ("January 1, 1970", ""),
     ("Mon, 01 Jan 0001 00:00:00 GMT", ""), ("1 Jan 99999999999 00:00:00", "")],
)  # fmt: skip
def test_day_and_month_are_told_where_only_one_order_is_possible(written, expected):
    assert day("", f'<meta property="article:published_time" content="{written}">') == expected
