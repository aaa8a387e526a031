"""Records of WARC (web pages, as in Common Crawl's CC-NEWS) and WET (their text).

A record becomes `url`, `title`, `text`, `date` (a day: the page's own, else that of the crawl) and
`id` (WARC-Record-ID), and `truncated` where the crawl has only its beginning (WARC-Truncated, or
`body`: its body ends early). A field of the user's own is a header of the record, as
WARC-IP-Address, or of the HTTP response, or else a meta tag of the page.

Pages are responses with status 200 or 203 and HTML, and resources that are HTML;
others of these are `Bad`, and what is neither (requests, revisits, descriptions of the crawl) is
passed over. Segments of a record are not joined: each of them is `Bad`. Format: ISO 28500:2017, and
the drafts before it (WARC/0.17, 0.18); lines of a header may end with LF alone. After damage the
next record is looked for.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import can_ada

from data_prep.config import Limits
from data_prep.read.fields import Fields
from data_prep.read.html import extractor
from data_prep.read.http import is_html, may_be_html, read_fields, split_response, status_of
from data_prep.read.labels import codec_of
from data_prep.read.own_metas import OwnMetas
from data_prep.read.record import EXCERPT_BYTES, Bad, DamagedError, Raw
from data_prep.read.unpack import Unpacked
from data_prep.titles import without_byline, without_site, without_title
from geo_nemo.tokenizers.base import scrub

MAX_HEADER_BYTES = 32 << 10
_START = b"WARC/"
_VERSION = re.compile(rb"WARC/[01]\.\d{1,2}[ \t]*\r?\n")
_LONGEST_VERSION = 16
_LONGEST = 100  # bytes of a status line that are looked at
# Why a crawl has only the beginning of what it fetched, as WARC-Truncated tells it.
_TRUNCATED = ("length", "time", "disconnect")
_UNSPECIFIED = "unspecified"
_CONTINUATION = "continuation"  # the type of a record's segments behind its first one
_PLAIN = ("text/plain", "text/markdown")
_BLANK = re.compile(rb"\r?\n\r?\n")
_NOT_PUBLIC = re.compile(
    r"https?://(?:[^/]*@)?(?:[^./:]+|[^/:]*\.(?:local|localhost|internal|test|invalid|lan)|[\d.]+|\[.*)"
    r"(?::\d*)?(?:/|$)",
    re.IGNORECASE,
)
# Encodings whose bytes pass for ASCII.
_LIKE_ASCII = ("utf_16", "utf_32", "utf_7", "iso2022", "hz")


def read_warc(
    stream: Unpacked, fields: Fields, limits: Limits, kinds: tuple[str, ...]
) -> Iterator[Raw | Bad]:
    """The records whose WARC-Type is in `kinds`: `response`, `conversion`.

    Numbers count the archive's records of all types; bytes of no record have the number of the
    record that they stand before.
    """
    number = 1
    own = OwnMetas(fields)
    try:
        while True:
            lost = _find_record(stream)
            if lost:
                yield Bad(number, "broken_warc", f"{lost} bytes that are of no record")
            header = _header(stream)
            if not header:
                if number == 1 and lost:
                    yield Bad(0, "unknown_format", "no WARC: it holds no record")
                return
            yield from _record(stream, header, number, limits, kinds, own)
            number += 1
    except DamagedError as damage:
        yield Bad(number, damage.reason, damage.detail)


def _record(
    stream: Unpacked,
    header: bytes,
    number: int,
    limits: Limits,
    kinds: tuple[str, ...],
    own: OwnMetas,
) -> Iterator[Raw | Bad]:
    head = header[:EXCERPT_BYTES]
    fields = _fields(header)
    length = fields.get("content-length", "")
    if not length.isascii() or not length.isdigit() or len(length) > 15:
        yield Bad(number, "broken_warc", "a record without a proper Content-Length", head)
        return
    size = int(length)
    kind = fields.get("warc-type", "").lower()
    wanted = kind in kinds and size <= limits.record_bytes
    block = stream.read(size) if wanted else b""
    if (len(block) if wanted else stream.skip(size)) < size:
        yield Bad(number, "truncated_file", "the archive ends inside a record", head)
    elif kind == _CONTINUATION:
        yield Bad(number, "segmented_record", _segment_of(fields), head)
    elif kind not in kinds:
        return
    elif not wanted:
        yield Bad(number, "record_too_long", f"a record of {size} bytes", head)
    else:
        found = _document(block, fields, number, limits, head, own)
        in_part = isinstance(found, Raw) and "warc-segment-number" in fields
        yield Bad(number, "segmented_record", _segment_of(fields), head) if in_part else found


def _segment_of(fields: dict[str, str]) -> str:
    """Which segment a record is, and of what: the first is of itself."""
    origin = fields.get("warc-segment-origin-id") or fields.get("warc-record-id", "")
    which = fields.get("warc-segment-number", "")
    return f"segment {which[:20]!r} of the record {origin[:100]}"


def _document(
    block: bytes,
    fields: dict[str, str],
    number: int,
    limits: Limits,
    head: bytes,
    own: OwnMetas,
) -> Raw | Bad:
    found: dict[str, Any] = {"url": fields.get("warc-target-uri", "").strip("<>"),
             "id": fields.get("warc-record-id", "").strip("<>"),
             "date": _day(fields.get("warc-date", "")),
             "truncated": _truncated(fields.get("warc-truncated", ""))}  # fmt: skip
    http: dict[str, str] = {}
    kind = fields.get("content-type", "")
    if fields["warc-type"].lower() == "conversion" and not is_html(kind):
        if kind and not kind.lower().startswith(_PLAIN):
            return Bad(number, "no_html_page", f"type {kind[:100]!r}", head)
        try:
            found["text"] = _decoded(block, kind)
            found |= own.take({}, fields)
        except UnicodeDecodeError as error:
            return Bad(number, "invalid_utf8", f"byte {error.start}: {error.reason}", head)
    else:
        bare = fields["warc-type"].lower() != "response" or is_html(kind)
        if bare and not kind.startswith("application/http") and not status_of(block[:_LONGEST]):
            # What was found, without HTTP: its type stands in the record's own header.
            block = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + block
        status, http, _ = split_response(block, MAX_HEADER_BYTES)
        answer = response_fields(block, status, http, found, number, limits, head, own, fields)
        if isinstance(answer, Bad):
            return answer
        found = answer
    kept = {name: value for name, value in found.items() if value or name == "text"}
    # Whoever looks at a sample wants to read the text; what is Bad has its header.
    return Raw(number, kept, found["text"][:EXCERPT_BYTES].encode("utf-8", "replace"))


def response_fields(
    block: bytes,
    status: bytes,
    http: dict[str, str],
    found: dict[str, str],
    number: int,
    limits: Limits,
    head: bytes,
    own: OwnMetas,
    headers: Mapping[str, str],
) -> dict[str, Any] | Bad:
    """`found` with what the page of an HTTP response has; Bad where it is none.

    headers: of the archive's record, for fields of the user's own.
    """
    if why := _no_page(status, http):
        return Bad(number, "no_html_page", why, head)
    page = extractor(limits.record_bytes, own.metas).extract(block)
    if "error" in page:
        return Bad(number, page.get("reason", "no_main_text"), page["error"], head)
    extra = own.take(page, {**http, **headers})
    return page_fields(found, page) | extra


def response_document(
    block: bytes,
    found: dict[str, str],
    number: int,
    limits: Limits,
    head: bytes,
    own: OwnMetas,
) -> Raw | Bad:
    """The page of an HTTP response as a record."""
    status, http, _ = split_response(block, MAX_HEADER_BYTES)
    answer = response_fields(block, status, http, found, number, limits, head, own, {})
    if isinstance(answer, Bad):
        return answer
    kept = {name: value for name, value in answer.items() if value or name == "text"}
    return Raw(number, kept, answer["text"][:EXCERPT_BYTES].encode("utf-8", "replace"))


def page_fields(found: dict[str, str], page: dict[str, str]) -> dict[str, str]:
    """`found` (url, and what else an archive knows) with what the extractor found on the page."""
    if found.get("truncated"):  # why, as the archive tells it
        page.pop("truncated", "")
    own = page.pop("canonical", "")
    named = {name: page.pop(name, "") for name in ("site", "heading")}
    address = own_address(found["url"], own)
    host = address.partition("://")[2].partition("/")[0]
    page["title"] = without_site(page["title"], host=host, **named)
    text = without_title(page["text"], page["title"] or named["heading"])
    page["text"] = without_byline(text)
    more = {name: value for name, value in page.items() if value or name == "text"}
    return found | more | {"url": address}


def own_address(fetched: str, named: str) -> str:
    """The address that a page names as its own, unless that is none, only the front page of its
    host, or of the machine that it was made on."""
    if not named or _NOT_PUBLIC.match(named) or not _has_host(named):
        return fetched
    deep = [address.partition("://")[2].partition("/")[2] for address in (fetched, named)]
    return fetched if deep[0] and not deep[1] else named


def _has_host(address: str) -> bool:
    """Whether an address can be parsed, and its host may be a public one: templates that were not
    filled in leave `https:///news/1`."""
    try:
        return "." in can_ada.parse(address).hostname.strip(".")
    except (ValueError, TypeError):
        return False


def _day(date: str) -> str:
    """The day of a moment that is written with hyphens or, as in ARC, without."""
    return date[:10] if "-" in date else date[:8]


def _truncated(why: str) -> str:
    """The reason for which a record is cut off; empty where it is whole."""
    why = why.strip().lower()
    return why if why in _TRUNCATED or not why else _UNSPECIFIED


def _decoded(text: bytes, kind: str) -> str:
    """Plain text: UTF-8, else in the encoding that its type tells. Raises UnicodeDecodeError."""
    named = re.search(r"charset=\"?([\w.:-]+)", kind, re.IGNORECASE)
    codec = (named and codec_of(named[1])) or "utf_8"
    if not codec.startswith(_LIKE_ASCII):
        try:
            return scrub(text.decode())
        except UnicodeDecodeError:
            pass
    return scrub(text.decode(codec))


def _no_page(status: bytes, http: dict[str, str]) -> str:
    """Why the header of a response is not that of a page; empty where it is, or does not tell."""
    if status_of(status) not in (200, 203):
        return f"status {status[:60].decode('latin-1')!r}"
    kind = http.get("content-type", "")
    return "" if is_html(kind) or may_be_html(kind) else f"type {kind[:100]!r}"


def _find_record(stream: Unpacked) -> int:
    """Go to the start of the next record; bytes on the way that are more than line ends."""
    lost = 0
    while True:
        window = stream.peek(_LONGEST_VERSION)
        if _VERSION.match(window):
            return lost
        if not window:
            # The end; or damage, which is raised here.
            stream.read(1)
            return lost
        if window[:1] in b"\r\n":
            stream.skip(1)
            continue
        window = stream.peek(MAX_HEADER_BYTES)
        found = _VERSION.search(window, 1)
        # The start may straddle the window's end.
        passed = found.start() if found else max(len(window) - _LONGEST_VERSION, 1)
        stream.skip(passed)
        lost += passed


def _header(stream: Unpacked) -> bytes:
    """A record's header with the blank line behind it; empty at the end."""
    window = stream.peek(MAX_HEADER_BYTES)
    if not window:
        return b""
    end = _BLANK.search(window)
    if end is None:
        # Passed over as what is of no record; nothing behind it is lost.
        if len(window) < MAX_HEADER_BYTES:
            stream.skip(len(window))
            stream.read(1)
            raise DamagedError("truncated_file", "the archive ends inside a header")
        return stream.read(len(_START)) + b"\r\n\r\n"
    return stream.read(end.end())


def _fields(header: bytes) -> dict[str, str]:
    """Fields of a record by name, without its first line."""
    return read_fields(header.partition(b"\n")[2])
