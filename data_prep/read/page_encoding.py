"""The encoding of a web page: its bytes as text.

1. UTF-8 where most of what is not ASCII is it, whatever header and page say;
   UTF-16 by its mark or zeros.
2. Else what the header names, then the page's meta tag or XML declaration, then what the bytes
   show: the first that leaves nearly no byte over.
   A page that names an encoding which nothing here decodes is refused.
3. A byte that is no character becomes U+FFFD, alone: a page that is damaged, or cut off within a
   character, keeps the rest.
"""

import re
from collections.abc import Iterator

from data_prep.read.encoding import is_johab, marked_encoding
from data_prep.read.http import BodyError
from data_prep.read.labels import codec_of, is_undecoded
from data_prep.read.wide import wide_encoding

_HEAD_BYTES = 4 << 10
_USUAL = "cp1252"
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED = re.compile(
    rb"<meta\b[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)"
    rb"|<\?xml\b[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]+)",
    re.IGNORECASE,
)
# What was looked for before, whatever is named.
_NOT_TRIED = ("", "utf_8", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_7", "utf_8_sig")
_LOST = "\ufffd"
# Of the characters that are not ASCII so many may be lost, in UTF-8 and in what is named.
_MOST_OF_UTF8, _MOST_NAMED = 0.25, 0.1


def decode(body: bytes, content_type: str) -> str:
    """The text of a page that was sent with this Content-Type.

    BodyError where it says that it is in an encoding which nothing here decodes.
    """
    if wide := marked_encoding(body[:4]) or wide_encoding(body[:_HEAD_BYTES]):
        return body.decode(wide, "replace").removeprefix("\ufeff")
    # ISO-2022 has escapes, and seven bits.
    if b"\x1b" not in body or not body.isascii():
        try:
            # Servers name Latin-1 for pages in UTF-8; the other way round the bytes tell.
            return body.decode("utf-8-sig")
        except UnicodeDecodeError:
            pass
        text = body.decode("utf-8-sig", "replace")
        if _lost(text) <= _MOST_OF_UTF8:
            return text
    tried: dict[str, str] = {}
    for codec in _codecs(body, content_type):
        if codec in _NOT_TRIED or codec in tried:
            continue
        tried[codec] = body.decode(codec, "replace")
        if _lost(tried[codec]) <= _MOST_NAMED:
            return tried[codec]
    return min(tried.values(), key=_lost)


def _lost(text: str) -> float:
    """Of the characters that are not ASCII, the share that are none."""
    others = len(text) - len(text.encode("ascii", "ignore"))
    return text.count(_LOST) / max(others, 1)


def _codecs(body: bytes, content_type: str) -> Iterator[str]:
    """What a page may be in, the likeliest first; empty where a name says nothing."""
    labels = _labels(body, content_type)
    for label in filter(is_undecoded, labels):
        raise BodyError(f"the page is in {label[:40]}, which nothing here decodes")
    yield from map(codec_of, labels)
    yield _by_bytes(body)
    yield _USUAL


def _labels(body: bytes, content_type: str) -> list[str]:
    header = _CHARSET.search(content_type)
    declared = _DECLARED.search(body[:_HEAD_BYTES])
    labels = [header[1]] if header else []
    if declared:
        labels.append((declared[1] or declared[2]).decode("ascii", "replace"))
    return labels


def _by_bytes(body: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    if is_johab(body):
        return "johab"
    # By the names of the web it would tell UTF-8 where they have none, as for cp949.
    return codec_of(detect_encoding(body, html5_compatible=False) or "")
