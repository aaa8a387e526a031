"""Dates: the common forms, nothing guessed, and never a crash."""

import math
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.annotate.dates import find_date

DAY = ("2024-05-31", 2024)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-31", DAY),
        (" 2024-5-31 ", DAY),
        ("2024/05/31", DAY),
        ("2024.05.31 10:00", DAY),
        ("2024-05-31T23:59:59Z", DAY),
        ("2024-05-31T23:59:59.123+09:00", DAY),  # the day where it was published
        ("2024-05-31 00:10:00-05:00", DAY),
        ("Fri, 31 May 2024 23:59:59 -0700", DAY),
        ("31 May 2024", DAY),
        ("31-May-2024", DAY),
        ("31st May 2024", DAY),
        ("31st of May 2024", DAY),
        ("31MAY2024", DAY),
        ("Fri, 31 May 24 23:59:59 -0700", DAY),  # RFC 822
        ("Friday, 31-May-24 23:59:59 GMT", DAY),
        ("Friday, 31-May-85 23:59:59 GMT", ("1985-05-31", 1985)),
        ("Published: 2024-05-31", DAY),
        ("Published: May 31, 2024", DAY),
        ("\u200e\ufeff2024-05-31", DAY),
        ("D:20240531120000Z", DAY),  # of PDF
        ("05/2024", ("2024-05", 2024)),
        ("5-2024", ("2024-05", 2024)),
        ("2024 May 31", DAY),
        ("2024-May-31", DAY),
        ("2024-152", DAY),
        ("2024-W22-5", DAY),
        ("2024W225", DAY),
        ("2024年5月31日", DAY),
        ("2024년 5월 31일", DAY),
        ("/Date(1717113600000)/", DAY),
        ("31 de mayo de 2024", DAY),
        ("31. Mai 2024", DAY),
        ("vendredi 31 mai 2024", DAY),
        ("sexta-feira, 31 de maio de 2024", DAY),
        ("31 Mei 2024", DAY),
        ("Jumat, 31 Mei 2024 10:00 WIB", DAY),
        ("31 Ogos 2024", ("2024-08-31", 2024)),
        ("31 Agosti 2024", ("2024-08-31", 2024)),
        ("31 maja 2024", DAY),
        ("31 мая 2024 г.", DAY),
        ("31 травня 2024", DAY),
        ("31 Mayıs 2024 Cuma", DAY),
        ("31 مايو 2024", DAY),
        ("31 مئی 2024", DAY),
        ("31 मई 2024", DAY),
        ("15 फ़रवरी 2024", ("2024-02-15", 2024)),
        ("৩১ মে ২০২৪", DAY),
        ("১৫ জানুয়ারি ২০২৪", ("2024-01-15", 2024)),
        ("31 ago 2024", ("2024-08-31", 2024)),
        ("2024. 5. 31. 오전 10:00", DAY),
        ("20:13, 31 May 2024", DAY),
        ("UPDATED: 10:00 BST, 31 May 2024", DAY),
        ("10:06 a.m. May 31, 2024", DAY),
        ("10:00 | 31/05/2024", DAY),
        ("10:00 MAY 31, 2024", DAY),
        ("First published on May 31, 2024", DAY),
        ("May 31,2024", DAY),
        ("May-31-2024", DAY),
        ("1er mars 2024", ("2024-03-01", 2024)),
        ("1. März 2024", ("2024-03-01", 2024)),
        ("2023-366", ("", 0)),
        ("2024-W54-1", ("", 0)),
        ("May 31, 2024", DAY),
        ("Friday, May 31st, 2024 at noon", DAY),
        ("MAY 31 2024", DAY),
        ("Fri May 31 12:00:00 UTC 2024", DAY),
        ("Fri May 31 12:00:00 2024", DAY),
        ("Thu May  2 12:00:00 2024", ("2024-05-02", 2024)),
        ("31/05/2024", DAY),
        ("05/31/2024", DAY),
        ("03/04/2024", ("2024", 2024)),  # April or March
        ("05.05.2024", ("2024-05-05", 2024)),
        ("2024-05", ("2024-05", 2024)),
        ("May 2024", ("2024-05", 2024)),
        ("2024", ("2024", 2024)),
        (2024, ("2024", 2024)),
        (20240531, DAY),
        ("20240531", DAY),
        ("20240531T1200Z", DAY),
        ("20240531120000", DAY),  # of WARC
        (1717113600, DAY),
        ("1717113600", DAY),
        (1717113600.5, DAY),
        (1717113600123, DAY),
        (1717113600123456, DAY),
        (1717113600123456789, DAY),
        ("1717113600123", DAY),
        (date(2024, 5, 31), DAY),
        (datetime(2024, 5, 31, 23), DAY),
        ("1858-01-02", ("1858-01-02", 1858)),
        ("２０２４-05-31T10:00", DAY),  # digits of another script
        ("2024-02-30T10:00", ("", 0)),
        ("2150-05-31", ("", 0)),
        ("2024-05-31-7", ("", 0)),
    ],
)
def test_a_common_form(value, expected):
    assert find_date(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None, "", " ", "yesterday", "2024-13-01", "2024-02-30", "2023-02-29", "2024-05-00",
        "0000-00-00", "0001-01-01", "9999-12-31", "1599", "2101", "31/31/2024", "32 May 2024",
        "20241331", 0, -1, 1, 99_999, 10**25, -1717113600, math.nan, math.inf, -math.inf, True,
        "1e9", "31.05.24", "31 May 24", "13/2024", "٢", "²", "2024-05-311", "12:30", "1.2.3",
        "20 listopada 2024", [], {}, b"2024",
    ],
)  # fmt: skip
def test_no_date(value):
    assert find_date(value) == ("", 0)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/news/2024/05/31/a-title", DAY),
        ("/2024/5/31", DAY),
        ("/world/2024/may/31/title", DAY),
        ("/2024/may/31.html", DAY),
        ("/news/2024-05-31-title", DAY),
        ("/20240531/title", DAY),
        ("/2024/05/title-of-12", ("2024-05", 2024)),
        ("/2024/13/01/2023/01/02/x", ("2023-01-02", 2023)),
        ("/2000-10-ways", ("", 0)),
        # Words of a title and of a section are no months.
        ("/2023/10-ways-to-save", ("", 0)),
        ("/2024/march-madness", ("", 0)),
        ("/2024/market/story", ("", 0)),
        ("/2020/mayor/", ("", 0)),
        ("/2022/decision/x", ("", 0)),
        ("/2024/sept/31/2024/september/x", ("2024-09", 2024)),
        ("/2024/marzo/x", ("2024-03", 2024)),
        ("/2024/decembre/12/x", ("2024-12-12", 2024)),
        ("/2024/marco/12/x", ("2024-03-12", 2024)),
        ("/gn/2024/03-15/1.shtml", ("2024-03-15", 2024)),
        ("/2024/03-99/x", ("", 0)),
        ("/2024/may/x", ("2024-05", 2024)),
        ("/2024/05.html", ("2024-05", 2024)),
        ("/2024/title", ("", 0)),
        ("/article/20245310", ("", 0)),
        ("/1234/05/31/", ("", 0)),
        ("/2024/999/", ("", 0)),
    ],
)
def test_the_path_tells_where_the_field_does_not(path, expected):
    assert find_date(None, path) == expected
    assert find_date("2024-99-99", path) == expected
    assert find_date("1999-01-02", path) == ("1999-01-02", 1999)


VALUES = (
    st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=30) | st.datetimes()
    | st.from_regex(r"\d{1,4}[-/. ]\d{1,3}[-/. ]\d{1,5}.?")
    | st.from_regex(r"[a-z]{3}, \d+ (may|jun) \d{1,6}")
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(value=VALUES, path=st.text(max_size=20) | st.from_regex(r"/\d{4}/\d\d/\d\d/"))
def test_any_value_gives_a_date_of_the_calendar_or_none(value, path):
    text, year = find_date(value, path)
    if not text:
        assert year == 0
        return
    assert 1600 <= year <= 2100
    assert text[:4] == str(year)
    padded = text + "-01-01"[len(text) - 4 :] if len(text) < 10 else text
    assert date.fromisoformat(padded).year == year


@pytest.mark.parametrize(
    ("value", "day_first", "month_first"),
    [
        ("03/04/2024", "2024-04-03", "2024-03-04"),
        ("3.4.2024 10:15", "2024-04-03", "2024-03-04"),
        ("13/04/2024", "2024-04-13", "2024-04-13"),
        ("04/13/2024", "2024-04-13", "2024-04-13"),
        ("05-05-2024", "2024-05-05", "2024-05-05"),
        ("2024", "2024", "2024"),
        ("00/04/2024", "2024", "2024"),
        (2024, "2024", "2024"),
    ],
)
def test_an_order_tells_what_alone_can_be_told_by_it(value, day_first, month_first):
    assert find_date(value, order="day_first")[0] == day_first
    assert find_date(value, order="month_first")[0] == month_first


def test_a_long_s_of_old_prints_is_an_s():
    assert find_date("1 \u017fep 1789") == ("1789-09-01", 1789)
