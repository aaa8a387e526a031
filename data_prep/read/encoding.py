"""Text files that are no UTF-8: which encoding their bytes are in, and the same bytes as UTF-8.

1. A mark at the start of the file tells UTF-16 and UTF-32; without one their NULs do.
2. A first MiB that is UTF-8, but for damage here and there, is UTF-8: damaged lines are set aside
   one by one. Most of its lines tell it, or most of its characters.
3. Otherwise two detectors look at the lines with other bytes: uchardet (in resiliparse) knows the
   frequencies of letters, charset-normalizer what is no sound text in an encoding. What they find
   is taken where they are sure enough, and told with a confidence. Johab is known by its letters.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Any

from data_prep.read.labels import wider
from data_prep.read.record import DamagedError
from data_prep.read.unpack import Unpacked
from data_prep.read.wide import wide_encoding
from geo_nemo.tokenizers.base import scrub

LOOKED_AT = 1 << 20
SAMPLE_BYTES = 1 << 14
LEAST_CONFIDENCE = 0.7
_MARKS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}  # fmt: skip
# Of seven bits: how the letters of a language begin.
_ESCAPES = {b"\x1b$)C": "iso2022_kr", b"\x1b$": "iso2022_jp"}
# What news of the last decades is kept in, each standing for its older and narrower kin.
_CANDIDATES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "iso8859_5", "iso8859_15", "cp874", "koi8_r", "koi8_u", "mac_roman", "cp932",
    "euc_jp", "cp949", "big5hkscs", "gb18030",
)  # fmt: skip
# Narrower encodings, some of whose letters stand elsewhere in their kin.
_KIN = {
    "iso8859_2": "cp1250", "iso8859_6": "cp1256", "iso8859_7": "cp1253", "iso8859_16": "cp1250",
}  # fmt: skip
_CONTROLS = bytes(range(0x80, 0xA0))  # where Windows has quotes and dashes
_USUAL = "cp1252"
# Of DOS and of Macintosh.
_OF_MACHINES = ("cp850", "mac_roman", "cp437", "cp852", "cp866", "mac_cyrillic", "mac_latin2")
_WIDE = ("cp932", "euc_jp", "cp949", "big5hkscs", "gb18030", "johab")
_ODD = 0.1
_MANY = 20
_COMMON = frozenset("áéíóúñçãäöüàèêôâßąęłśżćčšžěřőåøı")
_SIGN_IN_WORD = re.compile(
    r"[^\W\d_](?:[¤¢£¥¦§¨©«¬®¯±´¶¸»¼½¾¿×÷–—‚„†‡…‰‹›€™¡•˜ˆ“”\x80-\x9f\xa0](?=[^\W\d_])"
    r"|(?<=[а-яёa-zà-öø-ÿ])(?=[А-ЯÀ-ÖØ-Þ]))|[\u2500-\u259f\ufffd]"
)
# Capital alpha with its accent, which is a sign of paragraphs in cp1253, before a small letter.
_GREEK = re.compile(rb"(?<![\xa0-\xff])\xb6[\xdc-\xfe]")
_ODD_CYRILLIC = re.compile(
    r"[а-яѐ-џ][А-ЯЀ-Џ]|[\u0400-\u045f][†‡€‰™•√ƒ≈∆≥≤∂∞≠÷¬]|(?<!\w)[†‡€‰™•‚…‹›ѓђ’‘”–—¿¡¬√ƒ≈∆](?=[а-я])"
)
# Confidence where the detectors do not agree.
_ALONE = 0.8
# Second bytes of East Asian encodings are digits, letters and what stands behind these.
_UP_TO_SIGN = re.compile(rb"(?:.*[\n\r -/])?", re.DOTALL)
_NOT_ASCII = bytes(range(128, 256))
_OTHERWISE = "where letters are wrong, give it: encoding=NAME, such as encoding=cp850 of DOS"
# So few bytes may be damage, and tell no encoding.
LEAST_BYTES = 3
# Of the characters that are not ASCII so many may be damage in text of few lines.
_MOST_LOST = 0.25


def marked_encoding(head: bytes) -> str:
    """The encoding that a mark at the start of a file tells; empty where there is none."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")


def find_encoding(head: bytes) -> tuple[str, float]:
    """Encoding and confidence, 0 to 1, of a file that begins with `head`; UTF-8 is ``."""
    if name := marked_encoding(head):
        return name, 1.0
    if name := wide_encoding(head[:SAMPLE_BYTES]):
        return name, _ALONE
    for escape, name in _ESCAPES.items():
        if escape in head and _is_sound(head, name):
            return name, _ALONE
    if head.isascii() or _is_utf8(head):
        return "", 1.0
    sample = _whole_characters(b"\n".join(_lines_with_others(head)))
    if is_johab(sample):
        return "johab", _ALONE
    return _without_odd_signs(sample, *_by_detectors(sample))


def is_johab(data: bytes) -> bool:
    """Whether bytes are Korean in Johab, which the detectors do not know.

    Its letters are made of bits, of which other encodings leave a fifth without a letter.
    """
    others = [char for char in data.decode("johab", "replace") if not char.isascii()]
    syllables = sum("가" <= char <= "힣" for char in others)
    lost = others.count("\ufffd")
    return len(others) > _MANY and 50 * lost <= len(others) <= 2 * syllables


def _whole_characters(lines: bytes) -> bytes:
    """The start of `lines`, up to a byte that is a character of its own in every encoding."""
    if len(lines) <= SAMPLE_BYTES:
        return lines
    return _UP_TO_SIGN.match(lines[:SAMPLE_BYTES])[0] or lines[:SAMPLE_BYTES]


def _by_detectors(sample: bytes) -> tuple[str, float]:
    told = _by_frequencies(sample)
    matches: dict[str, Any] = {}
    for match in _by_chaos(sample):
        for name in (match.encoding, *match.could_be_from_charset):
            matches.setdefault(name, match)
    most = next(iter(matches.values()), None)
    if not told or not _is_sound(sample, told):
        return (most.encoding, round((1 - most.chaos) * _ALONE, 2)) if most else ("", 0.0)
    if kin := _KIN.get(told):
        same = _decoded(sample, told) == _decoded(sample, kin)
        told = kin if same or len(sample) > len(sample.translate(None, _CONTROLS)) else told
    if told != _USUAL and _decoded(sample, told) == _decoded(sample, _USUAL):
        told = (
            _USUAL  # of two that give the same text here, the one that is the likelier further on
        )
    if told not in matches:
        return told, _ALONE
    # Of several that give equally sound text, the frequencies of letters tell better.
    agreed = matches[told].chaos <= most.chaos + 0.05
    return told, round((1 - matches[told].chaos) * (1 if agreed else _ALONE), 2)


def _without_odd_signs(sample: bytes, found: str, confidence: float) -> tuple[str, float]:
    """What was found, unless it puts signs into words and one of the machines' old encodings, which
    the detectors do not know, does not."""
    if found in _WIDE:
        return found, confidence
    if found == "cp1251" and _is_of_macintosh(sample):
        return "mac_cyrillic", _ALONE
    if found == "cp1253" and _GREEK.search(sample):
        return "iso8859_7", confidence
    if found == "koi8_r" and _decoded(sample, found) != _decoded(sample, "koi8_u"):
        return "koi8_u", confidence  # which has letters for eight of its boxes
    least = _odd_signs(_decoded(sample, found)) if found else 1.0
    # Punctuation alone makes it doubtful; but a few bytes may be damage.
    many = len(sample) - len(sample.translate(None, _NOT_ASCII)) > _MANY
    if least < _ODD:
        sure = LEAST_CONFIDENCE if found == _USUAL and many else 0.0
        return found, max(confidence, sure)
    if not many:
        return found, confidence
    texts = {name: _decoded(sample, name) for name in _OF_MACHINES}
    name = min(texts, key=lambda each: _odd_signs(texts[each]) + _rare_letters(texts[each]))
    odd = _odd_signs(texts[name])
    return (name, _ALONE) if odd < min(_ODD, least / 4) else (found, confidence)


def _is_of_macintosh(sample: bytes) -> bool:
    """Whether what passes for cp1251 is Macintosh's Cyrillic, which has the same small
    letters but for one, and its capitals elsewhere: read wrongly, words begin with signs or end in
    a capital."""
    wrong, odd = (
        len(_ODD_CYRILLIC.findall(_decoded(sample, name))) for name in ("cp1251", "mac_cyrillic")
    )
    return wrong > 2 and 4 * odd <= wrong


def _odd_signs(text: str) -> float:
    """Signs between letters, capitals behind small letters and boxes, for each letter or sign that
    is not ASCII."""
    others = sum(not char.isascii() and not char.isspace() for char in text)
    return len(_SIGN_IN_WORD.findall(text)) / max(others, 1)


def _rare_letters(text: str) -> float:
    """Of letters that are not ASCII, those that no large language often has."""
    others = [char for char in text.lower() if not char.isascii() and char.isalpha()]
    rare = sum(not (char in _COMMON or "а" <= char <= "я") for char in others)
    return rare / max(len(others), 1)


def _decoded(sample: bytes, encoding: str) -> str:
    return sample.decode(encoding, "replace")


def _is_sound(sample: bytes, encoding: str) -> bool:
    """Whether nearly every byte is a character in the encoding, but for a cut at the end."""
    return _decoded(sample, encoding).count("�") * 50 <= len(sample)


def _by_frequencies(sample: bytes) -> str:
    """What uchardet finds, as Python and `_CANDIDATES` call it; empty where that is UTF-8."""
    from resiliparse.parse.encoding import detect_encoding

    try:
        # By the names of the web it would tell UTF-8 where they have none, as for cp949.
        name = codecs.lookup(detect_encoding(sample, html5_compatible=False) or "").name
    except LookupError:
        return ""
    name = name.replace("-", "_")
    return "" if name in ("ascii", "utf_8") else wider(name)


def _by_chaos(sample: bytes) -> list[Any]:
    """charset-normalizer's candidates, the one that gives the soundest text first."""
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(_CANDIDATES), preemptive_behaviour=False)
    return list(found)


class Recoded:
    """A stream of text in another encoding, as UTF-8; what is no character becomes U+FFFD.

    Has of Unpacked what readers of lines need.
    """

    def __init__(self, stream: Unpacked, encoding: str):
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._held = b""
        self._blocks = self._recoded()

    def blocks(self) -> Iterator[bytes]:
        """All that is left."""
        if self._held:
            held, self._held = self._held, b""
            yield held
        yield from self._blocks

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end or before damage, without taking them."""
        try:
            while len(self._held) < size and (block := next(self._blocks, b"")):
                self._held += block
        except DamagedError:
            pass  # the stream raises it again
        return self._held[:size]

    def _recoded(self) -> Iterator[bytes]:
        for block in self._stream.blocks():
            if text := self._decoder.decode(block):
                yield scrub(text).encode()
        if text := self._decoder.decode(b"", final=True):
            yield scrub(text).encode()


def as_utf8(stream: Unpacked, given: str | None) -> tuple[Unpacked | Recoded, str]:
    """`stream` as UTF-8, and what to tell of its encoding; empty where it is UTF-8.

    given: the encoding, where the user knows it.
    """
    if given is not None:
        known = codecs.lookup(given).name
        return (
            (stream, "")
            if known == "utf-8"
            else (Recoded(stream, wider(known)), f"read as {given}")
        )
    head = stream.peek(LOOKED_AT)
    name, confidence = find_encoding(head)
    if not name or confidence < LEAST_CONFIDENCE:
        return stream, ""
    by = "its mark" if marked_encoding(head) else f"its bytes, confidence {confidence:.2f}"
    unsure = "" if confidence > _ALONE else f"; {_OTHERWISE}"
    return Recoded(stream, name), f"read as {name}, by {by}{unsure}"


def _is_utf8(head: bytes) -> bool:
    """Whether bytes are UTF-8 but for a cut at the end and a few lines that are damaged."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return True
    except UnicodeDecodeError:
        pass
    lines = _lines_with_others(head)
    sound = sum(map(_decodes, lines))
    # A line of another encoding hardly ever passes for UTF-8, and one odd byte tells none.
    others = len(head) - len(head.translate(None, _NOT_ASCII))
    if others < LEAST_BYTES or 4 * sound >= len(lines) - sound:
        return True
    # A line may hold a whole list, or be the one there is: its characters tell.
    text = _decoded(head, "utf-8")
    wide = len(text) - len(text.encode("ascii", "ignore"))
    return text.count("\ufffd") <= _MOST_LOST * wide


def _lines_with_others(head: bytes) -> list[bytes]:
    """Lines that are not ASCII alone."""
    return [line for line in head.split(b"\n") if not line.isascii()]


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
