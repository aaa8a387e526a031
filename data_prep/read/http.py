"""HTTP responses as web archives keep them: what the header says of the body is tried, not trusted.

1. Header and body part at the first blank line; lines may end with CR LF or LF. A page or fields
   that no status line stands above are an answer, too.
2. A chunked body is joined; one that only says so stays as it is.
3. Each content coding that the header names is undone where the body has it. Bytes behind the
   compressed data are left out. A body that ends within chunks or compressed data is told as cut;
   so is a page without a coding that is shorter than its Content-Length and has not its end.
4. What is then no text may be in another coding than the header names: those whose first bytes tell
   them, then the others, are taken where they give text. Chunks that no header tells are joined.
5. What is still no text is an error that names the header's field.

RFC 9112 (messages), RFC 9110 (codings).
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import brotli
import zstandard

from data_prep.read.wide import wide_encoding

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST_CONTINUED = 8
_MOST_UNNAMED = 3  # codings around one another that no header tells
_BLANK = re.compile(rb"\r?\n\r?\n")
# What a server says before its answer.
_CONTINUE = re.compile(
    rb"HTTP/1\.1 1\d\d[^\n]{0,100}\n(?:[^\r\n]{1,500}\r?\n){0,20}\r?\n", re.IGNORECASE
)
# `HTTP/1.1 200 OK`, as other protocols and servers have it too: `h2 200`, `ICY 200 OK`, `200.0`.
_STATUS = re.compile(rb"(?:HTTP/[\d.]+|h[23]|ICY)[ \t]+(\d{3})(?:\.\d+)?(?:\s|\Z)", re.IGNORECASE)
_PAGE = re.compile(rb"\s*<(?:!doctype|html|\?xml|!--)", re.IGNORECASE)
_FIELD = re.compile(rb"[A-Za-z][A-Za-z-]{1,40}:[ \t]*[^\r\n]*\r?\n")
_UNSAID = b"HTTP/0.9 200"
# A chunk's size in hex, and extensions that nobody reads.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LOOKED_AT = 1 << 10
_ZSTD_STEP_BYTES = 1 << 10  # 4 bytes may stand for 128 KiB
_PADDING = bytes(8)  # more zeros than text in UTF-32 ends with
_PAGES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
_TELL_NOTHING = ("application/octet-stream", "application/xml", "text/xml", "binary/octet-stream")
_NAMES_OF_CODINGS = ("content-encoding", "transfer-encoding")
_MOST_DIGITS = 18
_END = b"</html"
_END_BYTES = 4 << 10  # at the end of a page, where comments and counters stand behind its last tag
_CONTROL = bytes({*range(32)} - {*b"\t\n\r\x0b\x0c\x1b"}) + b"\x7f"


def is_html(kind: str) -> bool:
    """Whether a Content-Type is that of a page."""
    return kind.lstrip().lower().startswith(_PAGES)


def may_be_html(kind: str) -> bool:
    """Whether a Content-Type says nothing against a page: the body decides."""
    name = kind.partition(";")[0].strip().lower()
    return "/" not in name or "*" in name or "unknown" in name or name in _TELL_NOTHING


class Decoded(NamedTuple):
    """Data without a coding. cut: whether they end early, so that more of them was to come."""

    body: bytes
    cut: bool = False


class BodyError(Exception):
    """A body that cannot be had; the message names the header that describes it, or the limit.

    reason: a key of data_prep.quarantine.REASONS.
    """

    reason = "unreadable_body"


class LongBodyError(BodyError):
    """A body over the limit."""

    reason = "no_main_text"


def split_response(block: bytes, most: int) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, fields and raw body; empty fields where no header ends within `most` bytes."""
    for _ in range(_MOST_CONTINUED):
        if not _CONTINUE.match(block):
            break
        block = _BLANK.split(block, 1)[1]
    if _PAGE.match(block):
        return _UNSAID, {}, block
    if _FIELD.match(block):
        block = _UNSAID + b"\r\n" + block
    end = _BLANK.search(block, 0, most)
    if end is None:
        return block.partition(b"\n")[0].rstrip(b"\r")[:most], {}, b""
    status, _, rest = block[: end.start()].partition(b"\n")
    return status.rstrip(b"\r"), read_fields(rest), block[end.end() :]


def status_of(line: bytes) -> int:
    """The number in a status line; 0 where it is none."""
    found = _STATUS.match(line)
    return int(found[1]) if found else 0


def read_fields(header: bytes) -> dict[str, str]:
    """Fields by name in small letters; of two of the same name the first, or the type of a page."""
    found: dict[str, str] = {}
    name = ""
    for line in header.decode("utf-8", "replace").split("\n"):
        line = line.rstrip("\r")
        if line[:1] in " \t" and name and line.strip():
            found[name] += " " + line.strip()  # a folded value
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower() if colon else ""
        is_page = name == "content-type" and is_html(value)
        if name in found and (is_html(found[name]) or not is_page):
            name = ""
        elif name:
            found[name] = value.strip()
    return found


def decoded(fields: Mapping[str, str], body: bytes, most: int) -> Decoded:
    """The body without its transfer and content codings. Raises BodyError.

    most: bytes that it may have.
    """
    given, cut = body, False
    transfer = fields.get("transfer-encoding", "")
    coding = fields.get("content-encoding", "")
    if "chunked" in transfer.lower() or _is_chunked(body):
        body, cut = _joined(body)
    # Codings stand in the order in which they were applied.
    for name in reversed(_CODING.findall(f"{transfer},{coding}".lower())):
        body, ended = _CODINGS[name](body, most)
        cut = cut or ended
    body, ended = _unnamed(body, most)
    cut = cut or ended or (body == given and _is_short(fields, body))
    if len(body) > most:
        raise LongBodyError(f"the page has more than {most} bytes")
    if body.endswith(_PADDING):
        body = body.rstrip(b"\0")
    if _is_binary(body):
        said = f"Content-Encoding {coding[:40]!r}" if coding else "no Content-Encoding"
        raise BodyError(f"the header has {said}, and the body is neither so encoded nor text")
    return Decoded(body, cut)


def _is_short(fields: Mapping[str, str], body: bytes) -> bool:
    """Whether a page has fewer bytes than its header says, and not its end (RFC 9112, 8).

    Archives that undo a coding may leave the length of before, and its name under another one, as
    `X-Crawler-Content-Encoding`; and those that write a page anew may make it shorter: it has its
    end all the same.
    """
    length = fields.get("content-length", "")
    is_number = length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS
    if not is_number or int(length) <= len(body):
        return False
    if any(value and name.endswith(_NAMES_OF_CODINGS) for name, value in fields.items()):
        return False
    # Of UTF-16, too.
    return _END not in body[-_END_BYTES:].replace(b"\0", b"").lower()


def _unnamed(body: bytes, most: int) -> Decoded:
    """The body without codings that the header did not tell, where it is no text as it stands."""
    cut = False
    for _ in range(_MOST_UNNAMED):
        start = body.lstrip(b"\r\n")
        if start.startswith(GZIP_MAGIC):
            found = _gunzipped(start, most)
        elif start.startswith(ZSTD_MAGIC):
            found = _unzstded(start, most)
        elif _is_binary(body):
            tried = (undo(body, most) for undo in (_deflated, _unbrotlied))
            sound = (each for each in tried if each.body and not _is_binary(each.body))
            found = next(sound, Decoded(body))
        else:
            break
        if found.body in (start, body):
            break
        body, cut = found.body, cut or found.cut
    return Decoded(body, cut)


def _is_chunked(body: bytes) -> bool:
    """Whether a body begins with a chunk behind which another one stands."""
    first = _CHUNK.match(body)
    if first is None or not int(first[1], 16):
        return False
    behind = body[first.end() + int(first[1], 16) :][:64].lstrip(b"\r\n")
    return _CHUNK.match(behind) is not None


def _joined(data: bytes) -> Decoded:
    """The chunks of a body together; a body without chunks is returned as it is."""
    pieces: list[bytes] = []
    at = 0
    while chunk := _CHUNK.match(data, at):
        size = int(chunk[1], 16)
        if size == 0:
            return Decoded(b"".join(pieces))
        pieces.append(data[chunk.end() : chunk.end() + size])
        at = chunk.end() + size
        # The line end behind a chunk.
        at += (data[at : at + 2] == b"\r\n" and 2) or data[at : at + 1] == b"\n"
    # What was cut off keeps what it has.
    return Decoded(b"".join(pieces), cut=True) if pieces else Decoded(data)


def _inflated(data: bytes, window: int, most: int) -> Decoded | None:
    """Data of zlib in a form; None where they are not in it. What is cut off keeps what it has."""
    decoder = zlib.decompressobj(window)
    try:
        text = decoder.decompress(data, most + 1)
    except zlib.error:
        return None
    return Decoded(text, not decoder.eof) if text or decoder.eof else None


def _gunzipped(data: bytes, most: int) -> Decoded:
    pieces: list[bytes] = []
    left, cut = most + 1, False
    while data.startswith(GZIP_MAGIC) and left > 0:
        decoder = zlib.decompressobj(31)
        try:
            text = decoder.decompress(data, left)
            cut = not decoder.eof
        except zlib.error:
            cut = True
            # A sound beginning may come before the damage: byte after byte finds how far.
            text = _sound_start(data, left)
        pieces.append(text)
        left -= len(text)
        data = decoder.unused_data
    return Decoded(b"".join(pieces), cut) if any(pieces) else Decoded(data)


def _sound_start(data: bytes, most: int, step: int = 1 << 10) -> bytes:
    decoder = zlib.decompressobj(31)
    pieces: list[bytes] = []
    for at in range(0, len(data), step):
        before = decoder.copy()
        try:
            pieces.append(decoder.decompress(data[at : at + step], most))
        except zlib.error:
            pieces += _byte_by_byte(partial(before.decompress, max_length=most), data[at:][:step])
            break
        most -= len(pieces[-1])
        if most <= 0:
            break
    return b"".join(pieces)


def _byte_by_byte(decompress: Callable[[bytes], bytes], data: bytes) -> Iterator[bytes]:
    """What a decoder gives of data up to where they are damaged, or others begin."""
    for at in range(len(data)):
        try:
            yield decompress(data[at : at + 1])
        except (zlib.error, brotli.error):
            return


def _deflated(data: bytes, most: int) -> Decoded:
    # The coding is zlib's format; some servers send it without its header.
    for window in (15, -15, 31):
        found = _inflated(data, window, most)
        if found is not None and not (window == -15 and _is_binary(found.body)):
            return found
    return Decoded(data)


def _unbrotlied(data: bytes, most: int) -> Decoded:
    whole = brotli.Decompressor()
    try:
        text = whole.process(data, output_buffer_limit=most + 1)
        return Decoded(text, not whole.is_finished()) if text else Decoded(data)
    except brotli.error:
        pass
    # Other bytes may stand behind the data; where they begin, one byte after another finds.
    decoder, size, pieces = brotli.Decompressor(), 0, []
    give = partial(decoder.process, output_buffer_limit=most + 1)
    for text in _byte_by_byte(give, data):
        size += len(text)
        pieces.append(text)
        if size > most or decoder.is_finished():
            return Decoded(b"".join(pieces))
    return Decoded(data)


def _unzstded(data: bytes, most: int) -> Decoded:
    """Frames, one after another. What stands before damage is kept, as of gzip."""
    given, pieces, left, ended = data, [], most + 1, True
    try:
        while data.startswith(ZSTD_MAGIC) and left > 0:
            decoder = zstandard.ZstdDecompressor().decompressobj()
            at = 0
            while not decoder.eof and at < len(data) and left > 0:
                pieces.append(decoder.decompress(data[at : at + _ZSTD_STEP_BYTES]))
                left -= len(pieces[-1])
                at += _ZSTD_STEP_BYTES
            ended = decoder.eof
            data = decoder.unused_data + data[at:] if ended else b""
    except zstandard.ZstdError:
        ended = False
    return Decoded(b"".join(pieces), not ended) if any(pieces) else Decoded(given)


_CODINGS: dict[str, Callable[[bytes, int], Decoded]] = {
    "gzip": lambda data, most: (
        _gunzipped(data, most) if data.startswith(GZIP_MAGIC) else Decoded(data)
    ),
    "deflate": _deflated,
    "br": _unbrotlied,
    "zstd": _unzstded,
}
_CODINGS |= {
    "x-gzip": _CODINGS["gzip"], "x-deflate": _deflated, "brotli": _unbrotlied,
    "zstandard": _unzstded,
}  # fmt: skip
# Names of codings, whatever servers write around them: `"gzip"`, `gzip;q=1.0`.
_CODING = re.compile(rf"(?<![\w-])(?:{'|'.join(_CODINGS)})(?![\w-])")


def _is_binary(body: bytes) -> bool:
    """Whether it has what no text has: control characters, but for a few in a damaged page.

    UTF-16 and UTF-32 have zeros; most say so at their start.
    """
    head = body[:_LOOKED_AT].rstrip(b"\0")
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or wide_encoding(head):
        return False
    return len(head) - len(head.translate(None, _CONTROL)) > max(len(head) // 50, 3)
