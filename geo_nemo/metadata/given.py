"""A document's record from metadata that somebody gives by name: a user, or a line of a file."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from geo_nemo.common.errors import UserError
from geo_nemo.metadata.geography import UNKNOWN, continent_of, country_code
from geo_nemo.metadata.record import KEY_OF, MetadataRecord

_NUMBERS = ("year", "quality")


def parse_line(line: str | bytes, place: str, wants: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A line of JSON Lines, and what is under its `metadata`.

    wants: what an object must have, in words. Raises `UserError` that begins with `place`.
    """
    try:
        found = json.loads(line)
    except ValueError:
        raise UserError(f"{place} is not JSON: give a record a line") from None
    if not isinstance(found, dict):
        raise UserError(f"{place} is no record: give an object with {wants}")
    metadata = found.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise UserError(f"{place}: metadata is no object of names and values")
    return found, metadata


def record_of(given: Mapping[str, Any], place: str) -> MetadataRecord:
    """Metadata by name as a document's record; a country brings its continent.

    `url` may be an address or a host. Raises `UserError` that begins with `place`.
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
        columns[name] = text
    for name in _NUMBERS:
        if name in columns:
            columns[name] = _number(name, columns[name], place)
    if "url" in columns:
        columns = {**_parts_of(columns.pop("url")), **columns}
    if "country" in columns:
        code = country_code(columns["country"])
        if code is None and columns["country"] != UNKNOWN:
            raise UserError(f"{place}: {columns['country']!r} is no country: give a code, as gb")
        if code is None:
            del columns["country"]
        else:
            columns["country"] = code
            columns.setdefault("continent", continent_of(code))
    own = {name: columns.pop(name) for name in list(columns) if name not in KEY_OF}
    return MetadataRecord(**columns, extra=own)


def _number(name: str, text: str, place: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        raise UserError(f"{place}: {name} is {text!r}, which is no number") from None


def _parts_of(url: str) -> dict[str, str]:
    """Columns of an address, or of a host alone."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = (parts.netloc.rpartition("@")[2].partition(":")[0]).lower()
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    scheme = {"scheme": parts.scheme} if parts.scheme else {}
    return {"host": host, "path": path, **scheme}
