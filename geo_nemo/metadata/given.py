"""A document's record from metadata that somebody gives by name: a user, or a line of a file."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from geo_nemo.common.characters import half_character
from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_json
from geo_nemo.metadata.geography import (
    CONTINENTS,
    UNKNOWN,
    continent_name,
    continent_of,
    countries,
    country_code,
)
from geo_nemo.metadata.record import KEY_OF, MetadataRecord

_NUMBERS = ("year", "quality")
# C0, C1, and what Unicode ends lines and paragraphs with.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HOST = re.compile(r"([\w-]+(\.[\w-]+)*\.?|\[[0-9a-f:.]+\]|[0-9a-f]*:[0-9a-f:.]+)(:\d+)?", re.I)
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04", b"PAR1")


def parse_line(line: str | bytes, place: str, wants: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line of JSON Lines, and what is under its `metadata`.

    wants: what an object must have, in words. Raises `UserError` that begins with `place`.
    """
    if isinstance(line, bytes) and line.startswith(_COMPRESSED):
        raise UserError(f"{place} is packed, and not JSON Lines: unpack it first")
    try:
        found = parse_json(line)
    except ValueError:
        begins = line.lstrip()[:1] in ("[", b"[")
        whole = ", not one list over all" if begins else ""
        raise UserError(f"{place} is not JSON: give a record a line{whole}") from None
    if not isinstance(found, dict):
        several = ", each on a line of its own" if isinstance(found, list) else ""
        raise UserError(f"{place} is no record: give an object with {wants}{several}")
    escaped = b"\\u" in line if isinstance(line, bytes) else "\\u" in line
    half = half_character(json.dumps(found, ensure_ascii=False)) if escaped else ""
    if half:
        code = f"\\u{ord(half):x}"
        raise UserError(f"{place} has half a character ({code}): write it anew, in UTF-8")
    metadata = found.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise UserError(f"{place}: metadata is no object of names and values")
    return found, metadata


def record_of(given: Mapping[str, Any], place: str) -> MetadataRecord:
    """Metadata by name as a document's record; a country brings its continent.

    `url` may be an address or a host; of `host` an address is refused, for it would be told whole.
    Raises `UserError` that begins with `place`.
    """
    columns: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UserError(f"{place}: {name} is {json.dumps(value)[:40]}: give a text or a number")
        text = str(value).strip()
        if "\n" in text or "\r" in text:
            raise UserError(f"{place}: {name} has a line end: metadata are one line each")
        control = _CONTROL.search(text)
        if sign := control[0] if control else half_character(text):
            raise UserError(
                f"{place}: {name} holds the control character U+{ord(sign):04X}: remove it"
            )
        columns[name] = text
    for name in _NUMBERS:
        if name in columns:
            columns[name] = _number(name, columns[name], place)
    if "url" in columns:
        columns = {**_parts_of(columns.pop("url"), place), **columns}
    if "host" in columns:
        columns["host"] = _host(columns["host"], place)
    if columns.get("continent", "").casefold() == UNKNOWN:
        del columns["continent"]
    if "continent" in columns:
        columns["continent"] = _continent(columns["continent"], place)
    if "country" in columns:
        code = country_code(columns["country"])
        if code is None and columns["country"] != UNKNOWN:
            raise UserError(f"{place}: {columns['country']!r} is no country: give a code, as gb")
        if code is None:
            del columns["country"]
        else:
            columns["country"] = code
            columns["continent"] = _continent_of(code, columns.get("continent"), place)
    own = {name: columns.pop(name) for name in list(columns) if name not in KEY_OF}
    return MetadataRecord(**columns, extra=own)


def _number(name: str, text: str, place: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise UserError(f"{place}: {name} is {text!r}, which is no number") from None


def _host(text: str, place: str) -> str:
    """A host's name as addresses have it; an address in its place is a mistake."""
    if not _HOST.fullmatch(text):
        raise UserError(
            f"{place}: host is {text[:80]!r}, which is no host: give its name, as punchng.com"
        )
    return text.lower()


def _continent(text: str, place: str) -> str:
    name = continent_name(text)
    if name is None:
        raise UserError(f"{place}: {text[:80]!r} is no continent: there is {', '.join(CONTINENTS)}")
    return name


def _continent_of(code: str, told: str | None, place: str) -> str:
    """The continent of a country; another one beside it would be told, and is a mistake."""
    if told is not None and told not in countries()[code].accepted:
        raise UserError(
            f"{place}: the country {code} is not in {told} but in {continent_of(code)}: mend one, "
            "or leave the continent out"
        )
    return continent_of(code)


def _parts_of(url: str, place: str) -> dict[str, str]:
    """Columns of an address, or of a host alone."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host = (parts.hostname or "") if "[" in url else ""
    except ValueError as error:
        raise UserError(f"{place}: url is {url[:80]!r}: {error}") from None
    host = host or parts.netloc.rpartition("@")[2].partition(":")[0]
    if not host:
        raise UserError(
            f"{place}: url is {url[:80]!r}, which names no host: give an address, as "
            "https://punchng.com/news"
        )
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    scheme = {"scheme": parts.scheme} if parts.scheme else {}
    return {"host": host, "path": path, **scheme}
