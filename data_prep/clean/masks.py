"""What is masked in a text: personal data (`[EMAIL]`, `[IP]`, `[PHONE]`), and NOW's own gaps.

A mask is for numbers and addresses that are one for certain; what could as well be a version, a
date, a sum or a range of years stays:

- an IP address is one that `ipaddress` reads and that is routed in the public Internet, so that
  1.2.3, 192.168.0.1 and documentation's 2001:db8:: stay; so does `version 1.2.3.4`;
- a phone number starts with + and has 8 to 15 digits (ITU-T E.164), or is written as in North
  America, (212) 555-0123 or 212-555-0123, or with a leading 0 and gaps, 020 7946 0958, or follows
  a word such as `call` or `tel`.

The masks are in square brackets, which no control token of a vocabulary has.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable

from data_prep.clean.numbers import (
    CARD_MASK,
    IBAN_MASK,
    ID_MASK,
    mask_cards,
    mask_ibans,
    mask_national_ids,
)
from data_prep.document import MASK_COUNTS, Document

EMAIL_MASK, IP_MASK, PHONE_MASK = "[EMAIL]", "[IP]", "[PHONE]"
# NOW withholds ten of each 200 words.
NOW_GAP = " ".join("@" * 10)
NOW_MASK = re.compile(r"(?<!\S)@(?:\s+@){9,}(?!\S)")

_EMAIL = re.compile(
    r"(?<![\w.%+-])\w[\w.%+'-]{0,63}@(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}[^\W\d_]{2,24}(?![\w-])"
)
_FILE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".css", ".js")  # logo@2x.png
# Patterns start with a character, and look back after it: such a search is ten times as quick.
_IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}(?:\.\d{1,3}){3}(?!\w|\.\d)", re.ASCII)
_IPV6 = re.compile(
    r"[0-9a-f:](?<![\w:.].)[0-9a-f:]{1,38}(?:(?<=:)(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])",
    re.IGNORECASE | re.ASCII,
)
_NUMBERED = re.compile(
    r"(?<![a-z])(?:version|ver|v|release|build|firmware|section|chapter|clause|article|paragraph|§)\.?\s*\Z",
    re.IGNORECASE,
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_GAP = r"[ \u00a0.()/-]"
_PHONES = (
    re.compile(rf"(?:\(\+|\+(?<![\w+]\+))[1-9](?:{_GAP}{{0,2}}\d){{7,14}}(?!\d)"),
    re.compile(r"\((?<![\w.+-]\()[2-9]\d\d\) ?[2-9]\d\d[ .-]\d{4}(?!\w|[.-]\d)"),
    re.compile(r"1(?<![\w.+-]1)([.-])[2-9]\d\d\1[2-9]\d\d\1\d{4}(?!\w|[.-]\d)"),
    re.compile(r"[2-9](?<![\w.+-].)\d\d([.-])[2-9]\d\d\1\d{4}(?!\w|[.-]\d)"),
    # Not the thousands of `10 000 000 000`.
    re.compile(r"0(?<![\w.,+-]0)(?!00)\d{1,4}[ -]\d{3,4}[ -]?\d{3,4}(?!\w|[.,-]\d)"),
)
# Any number of seven digits and more, for one that a word such as `call` goes before.
_DIGITS = re.compile(rf"\(?\d(?<![\w.].)(?<![\w.]\(.)(?:{_GAP}{{0,2}}\d){{6,14}}(?!\d)")
_INTRODUCED = re.compile(
    r"\b(?:tel|telephone|phone|mobile|cell|fax|call|whatsapp|hotline|toll[ -]free)\b"
    r"[^\w\n+(]{0,4}(?:(?:us|on|at|no|number)\b[^\w\n+(]{0,3}){0,2}\Z", re.IGNORECASE
)  # fmt: skip
_INTRODUCTION_CHARACTERS = 40
_YEARS_OR_DAY = re.compile(
    r"(?:1[6-9]|20)\d\d[/ -](?:1[6-9]|20)\d\d\Z|\d{4}[./-]\d\d?[./-]\d\d?\Z"
    r"|\d\d?[./-]\d\d?[./-]\d{4}\Z"
)


def mask_emails(text: str) -> str:
    """`text` with each e-mail address as `[EMAIL]`."""
    if "@" not in text:
        return text
    return _EMAIL.sub(lambda m: m[0] if m[0].lower().endswith(_FILE_ENDINGS) else EMAIL_MASK, text)


def mask_ips(text: str) -> str:
    """`text` with each public IP address as `[IP]`; a port or prefix length stays."""
    text = _IPV4.sub(lambda m: IP_MASK if _is_public(m) else m[0], text)
    if "::" not in text and text.count(":") < 7:
        return text
    return _IPV6.sub(lambda m: IP_MASK if m[0].count(":") > 1 and _is_public(m) else m[0], text)


def mask_phones(text: str) -> str:
    """`text` with each phone number as `[PHONE]`."""
    if not _DIGITS.search(text):
        return text
    for pattern in _PHONES:
        text = pattern.sub(_phone, text)
    return _DIGITS.sub(_introduced_phone, text)


# In this order: a number in an address is of the address, and what proves itself goes before phone
# numbers, which parts of it may look like.
MASKS: dict[str, Callable[[str], str]] = {
    "email": mask_emails,
    "iban": mask_ibans,
    "card": mask_cards,
    "national_id": mask_national_ids,
    "ip": mask_ips,
    "phone": mask_phones,
}
_TEXTS = {
    "email": EMAIL_MASK, "ip": IP_MASK, "phone": PHONE_MASK, "card": CARD_MASK, "iban": IBAN_MASK,
    "national_id": ID_MASK,
}  # fmt: skip


def count_masks(document: Document, kinds: Iterable[str]) -> None:
    """Fill the counts of a document in which `kinds` were masked; gaps are always counted."""
    text, title = document.text, document.title
    for kind in kinds:
        mask = _TEXTS[kind]
        setattr(document, MASK_COUNTS[kind], text.count(mask) + title.count(mask))
    if "@" in text or "@" in title:
        document.gaps = text.count(NOW_GAP) + title.count(NOW_GAP)


def longest_piece(text: str) -> str:
    """The longest piece of `text` between NOW's gaps; the first of equals. May be empty."""
    return max((piece.strip() for piece in NOW_MASK.split(text)), key=len)


def _is_public(match: re.Match[str]) -> bool:
    if _NUMBERED.search(match.string, max(0, match.start() - 12), match.start()):
        return False
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return False
    in_use = address.version == 4 or address in _GLOBAL_UNICAST
    return in_use and address.is_global and not address.is_multicast


def _introduced_phone(match: re.Match[str]) -> str:
    start = match.start()
    before = max(0, start - _INTRODUCTION_CHARACTERS)
    return _phone(match) if _INTRODUCED.search(match.string, before, start) else match[0]


def _phone(match: re.Match[str]) -> str:
    number = match[0]
    gaps = {c for c in number if not c.isdigit()} - set("+()\u00a0")
    mixed = "." in gaps and len(gaps) > 1  # `+1.25 2.50 3.75` are changes
    if mixed or _YEARS_OR_DAY.match(number):
        return number
    opens = number.startswith("(") and ")" not in number  # it closes after the number
    return "(" + PHONE_MASK if opens else PHONE_MASK
