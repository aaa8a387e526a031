"""Day and year of a document from what feeds, crawls and file names call a date.

Nothing is guessed: `03/04/2024` is in 2024, and no more is said of it. A time zone is not
converted, as the day is the one at the place of publication; seconds since 1970 are read as UTC.
The clock is never asked, so that the same input gives the same dates for ever.
"""

import re
from datetime import date, datetime, timedelta
from typing import Any
from unicodedata import combining, normalize

# Newspapers are printed since 1605.
FIRST_YEAR, LAST_YEAR = 1600, 2100
LONGEST = 80  # characters of a date, white space included
_EPOCH = date(1970, 1, 1)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_MONTH = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_YMD = re.compile(r"(\d{4})([-/.])(\d{1,2})(?:\2(\d{1,2}))?(?!\d|\2\d)")
# Marks that are not seen, and words: `Published: 2024-05-31`, `D:20240531` of PDF, `Posted on`;
# then a time of day, as in `10:06am BST, 31 May 2024`.
_BEFORE = re.compile(
    r"^[\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]+|^[a-z ]{1,20}:\s*(?=\d)"
    r"|^(?:(?:first|last)\s+)?(?:published|posted|updated|modified|created)(?:\s+on)?\s*:?\s+",
    re.IGNORECASE,
)
_TIME_BEFORE = re.compile(
    r"^\d{1,2}(?::\d\d){1,2}\s*(?:[ap]\.?m\b\.?)?\s*"
    rf"(?:(?!{_MONTH})[a-z]{{2,5}}\b)?\s*(?:[,|-]\s*)?(?:on\s+)?(?=[a-z\d])",
    re.IGNORECASE,
)
_AFTER_ISO_DAY = ("", "T", " ")
# `20240531`, and with hours and minutes, or seconds, as WARC writes it.
_COMPACT = re.compile(r"((?:1[6-9]|20)\d\d)(\d\d)(\d\d)(?:T?\d{4}(?:\d\d)?Z?)?\Z")
_NUMBER = re.compile(r"-?\d{1,20}(?:\.\d+)?\Z")
# RFC 2822 and its kin: `Fri, 31 May 2024 ...`, `31-May-2024`, `31-May-24` before a time of day;
# then `May 31, 2024`, `May 2024`.
_DAY_NAME = re.compile(r"(?:[a-z]+[,:]?\s+)?(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s-]*(?:of\s+)?"
                       rf"{_MONTH}[,\s-]*(?P<year>\d{{4}}|\d\d(?=\s))(?!\d)", re.I)  # fmt: skip
_NAME_DAY = re.compile(rf"(?:[a-z]+[,:]?\s+)??{_MONTH}[\s-]+"
                       r"(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,\s*|[\s-]+))?(?P<year>\d{4})(?!\d)",
                       re.IGNORECASE)  # fmt: skip
# `Fri May 31 12:00:00 UTC 2024`, as ctime and Twitter write it.
_CTIME = re.compile(rf"[a-z]+\s+{_MONTH}\s+(?P<day>\d{{1,2}})\s[\d:]+\s(?:\S+\s)?"
                    r"(?P<year>\d{4})(?!\d)", re.IGNORECASE)  # fmt: skip
# `2024 March 1`, `2024-Mar-01`; `2024年3月1日`, `2024년 3월 1일`, `2024. 3. 1.`;
# `/Date(1709335800000)/` of .NET.
_YEAR_NAME = re.compile(rf"(?P<year>\d{{4}})[\s-]+{_MONTH}[\s-]+(?P<day>\d{{1,2}})(?!\d)", re.I)
_CJK = re.compile(
    r"(\d{4})[年년]\s*(\d{1,2})[月월](?:\s*(\d{1,2})[日일])?|(\d{4})\.\s(\d{1,2})\.\s(\d{1,2})(?!\d)"
)
_MONTH_YEAR = re.compile(r"(0?[1-9]|1[0-2])[-/](\d{4})")
_NET = re.compile(r"/Date\((\d{9,15})(?:[+-]\d{4})?\)/\Z")
# ISO 8601's weeks and days of the year.
_WEEK = re.compile(r"(\d{4})-?W(\d{2})-?([1-7])(?:T|\Z)")
_ORDINAL = re.compile(r"(\d{4})-(\d{3})(?:T|\Z)")
# `1 de marzo de 2024`, `1er mars 2024`, `1. März 2024`, `sexta-feira, 1 de março de 2024`.
_OTHER_NAME = re.compile(
    r"(?:[^\d,]{1,15},?\s+(?:den\s+)?)?(\d{1,2})(?:er|º|°|\.)?\s+(?:de\s+)?"
    r"([^\s\d,.]{2,14})\.?,?\s+(?:del?\s+)?(\d{4})(?!\d)",
    re.I,
)


def _without_marks(name: str) -> str:
    return "".join(char for char in normalize("NFD", name) if not combining(char))


_OTHER_MONTHS = {
    normalize("NFC", name): number
    for names in (
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre "
        "dicembre",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "januari februari maret april mei juni juli agustus september oktober november desember",
        "januari februari mac april mei jun julai ogos september oktober november disember",
        "januari februari machi aprili mei juni julai agosti septemba oktoba novemba desemba",
        "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
        "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
        # Not `listopada`, which is October in Croatian.
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
        "- grudnia",
        "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
        "جنوری فروری مارچ اپریل مئی جون جولائی اگست ستمبر اکتوبر نومبر دسمبر",
        "जनवरी फरवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर",
        "জানুয়ারি ফেব্রুয়ারি মার্চ এপ্রিল মে জুন জুলাই আগস্ট সেপ্টেম্বর অক্টোবর নভেম্বর ডিসেম্বর",
        "- फ़रवरी - - - - - - सितम्बर अक्तूबर नवम्बर दिसम्बर",
        "জানুয়ারী ফেব্রুয়ারী",
        # In short, where that is not as in English.
        "ene fév - abr - - - ago set okt - dic",
        "gen fev - avr mag giu lug aoû - ott - déc",
        "- févr mär - - - - agu - out - dez",
        "янв фев мар апр май июн июл авг сен окт ноя дек",
    )
    for number, name in enumerate(names.split(), 1)
    if name != "-"
}
_MONTH_NUMBERS = frozenset(range(1, 13))
_ENGLISH = (
    "january", "february", "march", "april", "june", "july", "august", "sept", "september",
    "october", "november", "december",
)  # fmt: skip
_WHOLE_MONTHS = _OTHER_MONTHS | {name: _MONTHS[name[:3]] for name in _ENGLISH}
# Whole, or in three letters, and those of other languages that begin as in English, also without
# their marks, as addresses have them: `market` and `mayor` are none, `decembre` is.
MONTH_NAMES = _MONTHS | {
    name: number
    for written, number in _WHOLE_MONTHS.items()
    for name in (written, _without_marks(written))
    if len(name) > 3 and _MONTHS.get(name[:3]) == number
}
_IN_WORDS = ("-", "_")  # what joins the words of a title in a path
_NUMBERS = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)")
_IN_PATH = re.compile(
    r"/((?:1[6-9]|20)\d\d)(?:([-/])(\d{1,2}|[a-z]{3,9})(?:(?:\2|-(?=\d\d/))(\d{1,2}))?|(\d\d)(\d\d))"
    r"(?=[-/_.?]|\Z)"
)


def find_date(value: Any, path: str = "", order: str = "year") -> tuple[str, int]:
    """ISO day (or month, or year) and year; `("", 0)` where neither value nor path has one.

    value: text, a number, a `date` or None. path: of the URL, read where `value` tells nothing.
    order: of `03/04/2024`: `day_first`, `month_first`, or the `year` alone.
    An impossible date, and one before 1600 or after 2100, is none. Raises nothing.
    """
    found = _of_value(value)
    if order != "year" and found is not None and len(found[0]) == 4 and (both := ambiguous(value)):
        first, second, year = both
        found = _day(year, *((second, first) if order == "day_first" else (first, second)))
    if found is None and path:
        found = date_in_path(path)
    return found or ("", 0)


def ambiguous(value: Any) -> tuple[int, int, int] | None:
    """The numbers of a date of which day and month cannot be told; None of any other."""
    match = _NUMBERS.match(value[:LONGEST].strip()) if isinstance(value, str) else None
    if match is None:
        return None
    first, second, year = map(int, match.groups())
    return (first, second, year) if first != second and {first, second} <= _MONTH_NUMBERS else None


def date_in_path(path: str) -> tuple[str, int] | None:
    """The date that a URL's path holds: `/2024/05/31/`, `/2024/may/31/`, `/2024/05-31/`,
    `/2024-05-31-x`.

    A month without a day has a folder of its own: `/2023/10-ways` and `/2024/march-madness` tell
    none, nor does `/2000-10-ways`.
    """
    path = path.lower()
    for match in _IN_PATH.finditer(path):
        year, separator, month, day, compact_month, compact_day = match.groups()
        alone = not (day or compact_day)
        if alone and (separator == "-" or path[match.end() : match.end() + 1] in _IN_WORDS):
            continue
        month = month or compact_month
        number = int(month) if month.isdigit() else MONTH_NAMES.get(month)
        if number is not None:
            found = _day(int(year), number, int(day or compact_day or 0) or None)
            if found is not None:
                return found
    return None


def _of_value(value: Any) -> tuple[str, int] | None:
    if isinstance(value, str):
        return _of_text(value[:LONGEST].strip())
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return _of_number(value)
    if isinstance(value, float):
        return _of_number(int(value)) if abs(value) < 1e20 else None
    if isinstance(value, datetime | date):
        return _day(value.year, value.month, value.day)
    return None


def _of_text(text: str) -> tuple[str, int] | None:
    if text[4:5] == "-" == text[7:8] and text[10:11] in _AFTER_ISO_DAY:
        # As most are written. What follows tells the same, ten times as slowly.
        try:
            date.fromisoformat(text[:10])
        except ValueError:
            pass
        else:
            year = int(text[:4])
            return (text[:10], year) if FIRST_YEAR <= year <= LAST_YEAR else None
    text = _BEFORE.sub("", text)
    if ":" in text[1:3]:
        text = _TIME_BEFORE.sub("", text)
    match = _YMD.match(text)
    if match:
        year, _, month, day = match.groups()
        return _day(int(year), int(month), int(day) if day else None)
    if text[:1].isdigit() or text[:1] == "-":
        compact = _COMPACT.match(text)
        found = _day(*map(int, compact.groups())) if compact else None
        if found is not None:
            return found
        if _NUMBER.match(text):
            return _of_number(int(text.partition(".")[0]))
    for pattern in (_DAY_NAME, _NAME_DAY, _CTIME, _YEAR_NAME):
        match = pattern.match(text)
        if match:
            day = match["day"]
            # Old prints have a long s, which is an s where case does not matter.
            month = _MONTHS[match["name"].casefold()]
            return _day(_whole_year(match["year"]), month, int(day) if day else None)
    match = _NUMBERS.match(text)
    if match:
        return _of_unordered(*map(int, match.groups()))
    return _of_rare_text(text)


def _whole_year(digits: str) -> int:
    """A year of two digits as RFC 2822 reads it."""
    return int(digits) + (0 if len(digits) > 2 else 2000 if digits < "50" else 1900)


def _of_rare_text(text: str) -> tuple[str, int] | None:
    if match := _OTHER_NAME.match(text):
        day, name, year = match.groups()
        if month := _OTHER_MONTHS.get(normalize("NFC", name.lower())):
            return _day(int(year), month, int(day))
    if match := _CJK.match(text):
        year, month, day = match.groups()[:3] if match[1] else match.groups()[3:]
        return _day(int(year), int(month), int(day) if day else None)
    if match := _MONTH_YEAR.fullmatch(text):
        return _day(int(match[2]), int(match[1]), None)
    if match := _NET.match(text):
        return _of_number(int(match[1]))
    try:
        if match := _WEEK.match(text):
            found = date.fromisocalendar(*map(int, match.groups()))
            return _day(found.year, found.month, found.day)
        if match := _ORDINAL.match(text):
            first = date(int(match[1]), 1, 1)
            found = first + timedelta(days=int(match[2]) - 1)
            same = found.year == first.year
            return _day(found.year, found.month, found.day) if same else None
    except (ValueError, OverflowError):
        pass
    return None


def _of_unordered(first: int, second: int, year: int) -> tuple[str, int] | None:
    """Day and month in either order: only what both orders, or the possible one, say."""
    if first == second or (first > 12 and second <= 12):
        return _day(year, second, first)
    if second > 12 and first <= 12:
        return _day(year, first, second)
    return _day(year, None, None) if max(first, second) <= 12 else None


def _of_number(number: int) -> tuple[str, int] | None:
    """A year, `20240531`, or seconds, milli-, micro- or nanoseconds since 1970."""
    if FIRST_YEAR <= number <= LAST_YEAR:
        return _day(number, None, None)
    compact = _COMPACT.match(str(number)) if 0 < number < 10**15 else None
    found = _day(*map(int, compact.groups())) if compact else None
    if found is not None:
        return found
    # Ten digits are seconds from 2001 on; below 10^8 (1973) it is more likely something else.
    for limit, unit in ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9)):
        if 10**8 * unit <= number < limit:
            day = _EPOCH + timedelta(days=number // unit // 86_400)
            return _day(day.year, day.month, day.day)
    return None


def _day(year: int, month: int | None, day: int | None) -> tuple[str, int] | None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    if month is None:
        return f"{year}", year
    try:
        found = date(year, month, day or 1)
    except ValueError:
        return None
    if day == 0:
        return None
    return (found.isoformat() if day else f"{year}-{month:02d}"), year
