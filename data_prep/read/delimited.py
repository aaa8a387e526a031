"""Records of CSV with a header, UTF-8; newlines may stand in quoted fields.

A header whose every name stands in single quotes has such quotes below it. Quotes are signs of the
text where the first rows show that the file quotes no values, as many with tabs.
The delimiter is the one of comma, tab, semicolon, bar and rarer ones that makes the text's field a
column. Quotes in quotes are doubled, or stand behind a backslash where the file begins so.
A header that stands again further down counts anew, in whatever order it has the columns.
Rows that run together behind a quote which is not closed are told, each of them.
An empty value is an absent one, and so are empty ones behind the last column. Blank lines and
comments (`#`) may stand above the header.
"""

import csv
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from data_prep.config import Limits
from data_prep.read.encoding import Recoded, marked_encoding
from data_prep.read.fields import Fields, missing_column
from data_prep.read.lines import split_lines
from data_prep.read.record import EXCERPT_BYTES, Bad, DamagedError, Raw
from data_prep.read.unpack import Unpacked
from data_prep.read.wide import wide_encoding

DELIMITERS = ",\t;|^~\x01\x1f:"
_LOOKED_AT = 1 << 20
# A quote behind a backslash, where no value ends; and one that is doubled.
_ESCAPED = re.compile(rb"(?<!\\)\\\"(?![,\t;|]|\r?\n|\Z)")
_DOUBLED = re.compile(rb"[^,\t;|\n\r\"]\"\"(?=[^,\t;|\n\r\"])")
# Values that begin with a quote: with another and more text behind it, with doubled ones, with the
# other at their end.
_QUOTE_INSIDE = re.compile(r'"[^"]*"[^"]')
_DOUBLED_INSIDE = re.compile(r'"[^"]*+(?:""[^"]*+)++"\Z')
_QUOTED = re.compile(r'".*"\Z', re.DOTALL)
_MOST_ROWS, _SELDOM = 2000, 100
_MOST_ABOVE = 20  # lines above a header
_NAME = re.compile(r"[\w .#/()-]{0,60}")
_SINGLE = re.compile(r"'[^']+'(?:[,\t;|] ?'[^']+')+")  # every name in single quotes
_SEPARATOR = re.compile(r"sep=([,\t;|])\s*")


class _TooLongError(Exception):
    """The record at hand is over the limit. quoted: whether its next line is still of it."""

    def __init__(self, size: int, quoted: bool):
        super().__init__()
        self.size = size
        self.quoted = quoted


def read_csv(stream: Unpacked | Recoded, fields: Fields, limits: Limits) -> Iterator[Raw | Bad]:
    """One record a row below the header. DamagedError where the header is not usable."""
    head = stream.peek(_LOOKED_AT)
    lines = _Lines(stream, limits.record_bytes)
    # A field may be as long as a record; the module's own limit is for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 31))
    names, delimiter, spaced, quote = _header(lines, fields)
    escapes = _escapes(head) if quote == '"' else b"\\'" in head
    plain = quote == '"' and _quotes_nothing(head, delimiter, len(names))
    dialect = {
        "delimiter": delimiter, "quotechar": quote, "skipinitialspace": spaced,
        "escapechar": "\\" if escapes and not plain else None,
        "quoting": csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL,
    }  # fmt: skip
    rows = csv.reader(lines, **dialect)
    number, header = 0, frozenset(names)
    while True:
        number += 1
        lines.start()
        try:
            row = next(rows)
        except StopIteration:
            if number == 1:
                yield Bad(0, "empty_file", "there are no rows below the header")
            return
        except DamagedError as damage:
            yield Bad(number, damage.reason, damage.detail)
            return
        except _TooLongError as long:
            head = lines.head()
            size = long.size + lines.skip_record(delimiter, long.quoted)
            yield Bad(number, "record_too_long", f"a row of {size} bytes", head)
            continue
        except csv.Error as error:
            yield Bad(number, "broken_csv", str(error), lines.head())
            continue
        lost = 0 if lines.cut else _run_together(lines.held, len(names), dialect)
        if lost:
            detail = f"one of {lost} rows that run together behind a quote which is not closed"
            yield from (Bad(number + n, "broken_csv", detail, lines.head()) for n in range(lost))
            number += lost - 1
            continue
        if len(row) > len(names) and not any(row[len(names) :]):
            row = row[: len(names)]
        if row and row[-1] in header and sorted(map(_name, row)) == sorted(names):
            names = [*map(_name, row)]
            number -= 1
        elif not row:
            number -= 1
        elif lines.cut:
            yield Bad(number, "truncated_file", "the file ends in a quoted value", lines.head())
        elif len(row) != len(names):
            detail = f"{len(row)} values under {len(names)} names"
            yield Bad(number, "broken_csv", detail, lines.head())
        elif lines.invalid:
            yield Bad(number, "invalid_utf8", lines.invalid, lines.head())
        else:
            pairs = zip(names, row, strict=True)
            record = {name: value for name, value in pairs if value}
            yield Raw(number, fields.pick(record), lines.head())


def _run_together(lines: list[str], columns: int, dialect: dict[str, Any]) -> int:
    """How many rows a quote that is not closed has made one; 0 where these lines are one row.

    Each but the first has as many values as a row, and the quote that ends them begins a value of
    the last, or stands in its text: no delimiter is behind it.
    """
    if len(lines) < 2 or columns < 2:
        return 0
    *inside, last = (line.count(dialect["delimiter"]) for line in lines[1:])
    if any(count != columns - 1 for count in inside) or last < columns - 1:
        return 0
    try:
        list(csv.reader(lines, strict=True, **dialect))
    except csv.Error:
        return len(lines)
    return 0


def looks_like_csv(head: bytes) -> bool:
    """Whether a file that begins with `head` may be a table: short names in a line, and below it a
    line of as many values."""
    encoding = marked_encoding(head) or wide_encoding(head) or "utf-8"
    text = head.decode(encoding, "ignore").removeprefix("\ufeff")
    first, *others = text.splitlines()[:3] or [""]
    for delimiter in DELIMITERS[:4]:
        names = _values_of(first, delimiter)
        if len(names) > 1 and len(set(names)) == len(names) and all(map(_NAME.fullmatch, names)):
            below = others[0] if others else ""
            return '"' in below or len(_values_of(below, delimiter)) == len(names)
    return False


def _name(value: str) -> str:
    """A column's name as it stands in a header, which may be that of a file with a mark."""
    return value.removeprefix("\ufeff").strip()


def _values_of(line: str, delimiter: str) -> list[str]:
    try:
        return [value.strip() for value in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _escapes(head: bytes) -> bool:
    """Whether quotes stand behind a backslash, as Spark and MySQL write them."""
    return len(_ESCAPED.findall(head)) > len(_DOUBLED.findall(head))


def _quotes_nothing(head: bytes, delimiter: str, columns: int) -> bool:
    """Whether quotes of the first rows are of their texts: `"We won", she said` is a value as it
    stands, each line is a row, and no value or column is quoted as a file quotes them."""
    header, *lines = head.decode("utf-8", "replace").split("\n")[:_MOST_ROWS]
    rows = [line.rstrip("\r").split(delimiter) for line in lines[:-1] if line.strip()]
    if columns < 2 or '"' in header or not any(map(_QUOTE_INSIDE.match, chain(*rows))):
        return False
    fitting = [row for row in rows if len(row) == columns]
    if (len(rows) - len(fitting)) * _SELDOM > len(rows):
        return False
    if any(map(_DOUBLED_INSIDE.match, chain(*fitting))):
        return False
    return not any(all(map(_QUOTED.match, column)) for column in zip(*fitting, strict=True))


def _header(lines: "_Lines", fields: Fields) -> tuple[list[str], str, bool, str]:
    """Names of the columns, the delimiter, whether a space stands behind each, and the quote, which
    is a single one where every name stands in such; `fields` sees the names."""
    for _ in range(_MOST_ABOVE):
        lines.start()
        try:
            text = next(lines, "")
        except _TooLongError:
            raise DamagedError(
                "broken_header", "the header is longer than a record may be"
            ) from None
        if text.strip(" \t\r\n\ufeff") and not text.startswith("#"):
            break
    if told := _SEPARATOR.fullmatch(text):
        # Spreadsheets write it above the header.
        return *_header_in(next(lines, ""), told[1], fields), '"'
    if "\r" in text.rstrip("\r\n"):
        raise DamagedError(
            "broken_header", "its lines end with CR alone: tr '\\r' '\\n' < FILE > FILE.csv"
        )
    try:
        return *_header_in(text, DELIMITERS, fields), '"'
    except DamagedError as damage:
        if damage.reason == "missing_text" and _SINGLE.fullmatch(text.strip(" \r\n\ufeff")):
            return *_header_in(text, DELIMITERS, fields, "'"), "'"
        if damage.reason == "missing_text" and (number := _header_below(lines, fields)):
            raise DamagedError(
                "broken_header",
                f"the header is line {number}: tail -n +{number} FILE > FILE.csv",
            ) from None
        raise


def _header_below(lines: "_Lines", fields: Fields) -> int:
    """The number of a line below the first that has the column of the text; 0 where none has."""
    for text in islice(lines, _MOST_ABOVE):
        for delimiter in DELIMITERS[:4]:
            if fields.names["text"] in _values_of(text, delimiter)[1:]:
                return lines.number
    return 0


def _header_in(
    text: str, delimiters: str, fields: Fields, quote: str = '"'
) -> tuple[list[str], str, bool]:
    wanted = fields.names["text"]
    most: list[str] = []
    for delimiter in delimiters:
        try:
            reader = csv.reader([text], delimiter=delimiter, quotechar=quote, skipinitialspace=True)
            row = next(reader, [])
            names = [_name(each) for each in row]
        except csv.Error:
            continue
        # Of a header that lacks the column, the delimiter that parts most is the likely one.
        most = max(most, names, key=len)
        fields.see(names)
        if fields.names["text"] in names:
            ours = [name for name in names if name in fields.names.values()]
            if len(ours) > len(set(ours)):
                twice = next(name for name in ours if ours.count(name) > 1)
                raise DamagedError(
                    "broken_header", f"two columns are called {twice!r}: rename one of them"
                )
            return names, delimiter, text.count(f"{delimiter} ") == text.count(delimiter)
    if not most:
        raise DamagedError("empty_file", "the file holds no header")
    raise DamagedError("missing_text", missing_column(wanted, most))


class _Lines:
    """Lines of text for csv.reader, which asks for another while a quoted field is open.

    number: of the last line, from 1.
    invalid: what is no UTF-8 in the record at hand; empty where all is.
    cut: whether the record at hand asked for a line behind the last one.
    held: the lines of the record at hand.
    """

    def __init__(self, stream: Unpacked | Recoded, limit: int):
        self._lines = split_lines(stream.blocks(), limit)
        self._limit = limit
        self.number = 0
        self.start()

    def start(self) -> None:
        """A record begins."""
        self.invalid = ""
        self.cut = False
        self.held: list[str] = []
        self._size = 0
        self._head = b""

    def head(self) -> bytes:
        return self._head[:EXCERPT_BYTES]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        inside = self._size > 0
        self.cut = inside
        self.number, line, too_long = next(self._lines)
        self.cut = False
        if len(self._head) < EXCERPT_BYTES:
            self._head += line[:EXCERPT_BYTES] + b"\n"
        self._size += (too_long or len(line)) + 1
        if self._size > self._limit + 1:
            # Whether a field is open behind a line that is not here whole cannot be known.
            raise _TooLongError(self._size, inside and not too_long and b'"' not in line)
        try:
            text = line.decode() + "\n"
        except UnicodeDecodeError as error:
            self.invalid = f"byte {error.start} of a line: {error.reason}"
            text = line.decode("utf-8", "replace") + "\n"
        self.held.append(text)
        return text

    def skip_record(self, delimiter: str, quoted: bool) -> int:
        """Pass over the rest of a record whose quoted field is open; how many bytes that were."""
        size = 0
        while quoted:
            try:
                _, line, too_long = next(self._lines)
            except (StopIteration, DamagedError):
                break
            size += (too_long or len(line)) + 1
            quoted = bool(too_long) or _open_after(line.decode("utf-8", "replace"), delimiter)
        return size


def _open_after(line: str, delimiter: str) -> bool:
    """Whether a quoted field that is open before a line is, or another one, open behind it."""
    try:
        next(csv.reader(['"' + line + "\n"], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False
