"""Encodings by the names that pages, headers and people give them.

A name stands for the widest of its kin, as browsers read it (encoding.spec.whatwg.org): text that
says Shift_JIS, EUC-KR or Latin-1 has the characters that Windows added to them.
"""

import codecs
import re

# Narrower encodings by those that hold all of their letters in their places.
_WIDER = {
    "ascii": "cp1252", "iso8859_1": "cp1252", "iso8859_8": "cp1255", "iso8859_9": "cp1254",
    "iso8859_11": "cp874", "tis_620": "cp874", "iso8859_13": "cp1257", "shift_jis": "cp932",
    "euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs",
}  # fmt: skip
_OF_NO_TEXT = ("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape")
_OF_WINDOWS = re.compile(r"(?:x-)?(?:cp|win|windows)[-_ ]?(\d{3,4})", re.IGNORECASE)
# Read as another encoding, text in these has other letters.
_UNDECODED = re.compile(
    r"(?:x-)?(?:cs)?(?:euc-?tw|iso-?2022-?cn(?:-?ext)?|viscii|tcvn|tcvn-?5712(?:-1)?|armscii-?8"
    r"|georgian-(?:ps|academy)|tscii)",
    re.IGNORECASE,
)


def is_undecoded(label: str) -> bool:
    """Whether it means an encoding that pages are in and that nothing here decodes."""
    return _UNDECODED.fullmatch(label.replace("_", "-")) is not None


def wider(codec: str) -> str:
    """The encoding that `codec`, as Python calls it, is read as."""
    return _WIDER.get(codec.replace("-", "_"), codec)


def codec_of(label: str) -> str:
    """Python's name of the encoding that `label` means; empty where it is none of text."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    number = _OF_WINDOWS.fullmatch(label)
    known = map_encoding_to_html5(label, fallback_utf8=False)
    for name in (known, label, number and f"cp{number[1]}", label.lower().removeprefix("x-")):
        try:
            codec = codecs.lookup(name) if name else None
        except (LookupError, ValueError):
            continue
        found = codec.name.replace("-", "_") if codec and codec._is_text_encoding else ""
        if found and found not in _OF_NO_TEXT:
            return wider(found)
    return ""
