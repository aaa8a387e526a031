"""Text in one normal form, so that equal texts are equal bytes.

- CRLF, CR, VT, FF, NEL and the Unicode line and paragraph separators become a line feed.
- Lone surrogates become U+FFFD.
- Removed: NUL and the other control characters but tab and line feed; byte order marks,
  non-characters and soft hyphens; all controls of writing direction (U+061C, U+200E, U+200F,
  U+202A to U+202E, U+2066 to U+2069). The latter say how a line is drawn, never what it says: the
  letters of Arabic and Hebrew stand in their order without them (UAX #9), and overrides can show a
  reader another text than a model is trained on (CVE-2021-42574).
- Kept: zero-width joiners and spaces, which Persian, Khmer and emoji are written with.
"""

import re

from geo_nemo.tokenizers.base import scrub

# What writers of tables put for a value that is not there; `NA` and `na` are Namibia.
MISSING = frozenset(
    (
        "nan",
        "NaN",
        "NAN",
        "<NA>",
        "None",
        "none",
        "null",
        "NULL",
        "N/A",
        "n/a",
        "\\N",
        "-",
        "--",
        "?",
    )
)
# ASCII that is in normal form as it is.
_PLAIN = bytes(range(0x20, 0x7F)) + b"\t\n"
# 1 for every other byte: this is found twice as quickly as the others are deleted.
_OTHERS = bytes(byte not in _PLAIN for byte in range(256))
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_REMOVED_CLASS = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff"
)
# Kept beside others, and nothing by themselves; with white space between them.
_INVISIBLE = "\u034f\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064 \t\n\xa0\u3000"
_REMOVED = re.compile(f"[{_REMOVED_CLASS}]")
_CHANGED = re.compile(f"[\r\x0b\x0c\x85\u2028\u2029{_REMOVED_CLASS}]")


def normal_text(value: str) -> tuple[str, bytes]:
    """`value` in normal form, and its UTF-8; both empty where nothing visible is left."""
    value = value.strip()
    try:
        utf8 = value.encode()
    except UnicodeEncodeError:
        value = scrub(value)
        utf8 = value.encode()
    if len(utf8) == len(value) and b"\1" not in utf8.translate(_OTHERS):
        return value, utf8
    # Deleting bytes is some ten times as quick as a search through the text, and leaves little.
    rest = utf8.translate(None, _PLAIN)
    if rest and _CHANGED.search(rest.decode()):
        value = _REMOVED.sub("", _LINE_ENDS.sub("\n", value)).strip()
        utf8 = value.encode()
    if not value.strip(_INVISIBLE):
        return "", b""
    return value, utf8


def normal_line(value: str) -> str:
    """`value` in normal form, with each run of white space one space."""
    return " ".join(normal_text(value)[0].split())
