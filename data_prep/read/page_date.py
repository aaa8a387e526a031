"""The day on which a page was published, as its markup tells it.

1. Meta tags, then linked data (JSON-LD), then rarer meta tags.
2. Elements that are marked as the day of publication, where all of a kind tell the same one.
3. The times of an article, where the first is the earliest: updates and comments come later, while
   other articles are older. At last the one day that all times of the page tell.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from resiliparse.parse.html import HTMLTree

from data_prep.read.linked_data import Scripts, linked_dates

_DATE_SELECTORS = (
    'meta[property="article:published_time"]', 'meta[itemprop="datePublished"]',
    'meta[name="article:published_time"]', 'meta[property="og:article:published_time"]',
    'meta[name="pubdate"]', 'meta[name="date"]', 'meta[name="dc.date"]',
    'meta[name="parsely-pub-date"]', 'time[itemprop="datePublished"]',
)  # fmt: skip
# Meta tags that have it on few pages.
_RARE_DATES = ", ".join(
    [f'meta[name="{name}" i]' for name in (
        "dc.date.issued", "dc.date", "dc:date", "dcterms.date", "dcterms.created", "date",
        "pubdate", "sailthru.date", "publish-date", "publishdate", "publication_date",
        "datepublished", "article.published", "cxenseparse:recs:publishtime",
        "citation_publication_date",
    )]
    + ['meta[property="og:published_time" i]', 'meta[property="article:published" i]']
)  # fmt: skip
_MONTH_FIRST = re.compile(r"(?:[A-Za-z]+,? )?([A-Za-z]{3})[a-z]*\.? (\d{1,2}),? (\d{4})")
_MOMENT = re.compile(r"\d{10}(?:\d{3})?\Z")
_MOMENTS = range(10**8, 2 * 10**9)  # seconds up to 2033; 2024050610 is an hour
_DAY = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?!\d)|(\d{4})([-/.])(\d{1,2})\5(\d{1,2})(?!\d)")
# Day and month in either order, where only one is possible.
_DAY_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)")
# Behind the month: `+0100 (BST)` is a zone.
_YEAR_NONE = re.compile(r"[A-Za-z]{3}[.,]* 0\d{3}\b")
# Archives of papers have pages of articles that are older than the web.
_FIRST_YEAR = 1600
# What software writes that knows no date.
_NO_DAYS = ("1970-01-01", "1900-01-01", "1899-12-30", "1753-01-01")
# Elements that say so, with the day in an attribute or as text: of microdata, RDFa, microformats
# and WordPress.
_MARKED = (
    '[itemprop~="datePublished"]', '[property="schema:datePublished"]',
    '[property="schema:dateCreated"]', "abbr.published", "time[pubdate]", "time.published",
    "time.dt-published", "time.entry-date",
)  # fmt: skip
_MOST_TIMES = 100


def page_day(tree: HTMLTree, scripts: Scripts) -> str:
    """The day as YYYY-MM-DD; empty where the page tells none.

    scripts: the page's linked data.
    """
    root = tree.document
    for selector in _DATE_SELECTORS:
        node = root.query_selector(selector)
        if node is not None:
            found = node.getattr("content") or node.getattr("datetime") or ""
            if day := _day(found):
                return day
    for found in linked_dates(scripts):
        if day := _day(found):
            return day
    for node in root.query_selector_all(_RARE_DATES)[:5]:
        if day := _day(node.getattr("content") or ""):
            return day
    return _shown_day(tree)


def _shown_day(tree: HTMLTree) -> str:
    for selector in _MARKED:
        days = _days(tree, selector)
        if len(set(days)) == 1:
            return days[0]
    days = _days(tree, "article time[datetime]")
    if days and days[0] == min(days):
        return days[0]
    days = _days(tree, "time[datetime]")
    return days[0] if len(set(days)) == 1 else ""


def _days(tree: HTMLTree, selector: str) -> list[str]:
    nodes = tree.document.query_selector_all(selector)[:_MOST_TIMES]
    written = (
        next(filter(None, map(node.getattr, ("content", "datetime", "title"))), "") or node.text
        for node in nodes
    )
    return [day for text in written if (day := _day(text or ""))]


def _day(text: str) -> str:
    text = text.strip()[:40]
    if _MOMENT.match(text):
        seconds = int(text[:10])
        return (
            datetime.fromtimestamp(seconds, UTC).date().isoformat() if seconds in _MOMENTS else ""
        )
    if named := _MONTH_FIRST.match(text):
        text = f"{named[2]} {named[1]} {named[3]} 00:00"
    found = _in_figures(text)
    if found is None:
        found = _in_words(text)
    year, month, day = found
    proper = _FIRST_YEAR <= year <= 2100 and 1 <= month <= 12 and 1 <= day <= 31
    iso = f"{year}-{month:02}-{day:02}"
    return iso if proper and iso not in _NO_DAYS else ""


def _in_words(text: str) -> tuple[int, int, int]:
    """The same of RFC 2822's form; zeros where it is not that, or of a year that is none, as the
    year 1 of software that knows no date, which would be read as 2001."""
    if _YEAR_NONE.search(text):
        return 0, 0, 0
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0, 0, 0
    return found.year, found.month, found.day


def _in_figures(text: str) -> tuple[int, int, int] | None:
    """Year, month and day; zeros where month and day cannot be told apart."""
    if found := _DAY.match(text):
        year, month, day = map(int, found.group(*((1, 2, 3) if found[1] else (4, 6, 7))))
        return year, month, day
    if found := _DAY_LAST.match(text):
        first, second, year = map(int, found.group(1, 3, 4))
        if first > 12 or first == second:
            return year, second, first
        return (year, first, second) if second > 12 else (0, 0, 0)
    return None
