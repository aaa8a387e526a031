"""One line of JSON to one document, or the reason why not."""

import json
from dataclasses import dataclass
from typing import Any

import orjson
import xxhash

from data_prep.annotate.origin import Origin, OriginRules
from data_prep.annotate.urls import Url, parse_url
from data_prep.quarantine import Rejected
from geo_nemo.metadata.tokenizer import scrub


@dataclass(frozen=True, slots=True)
class Document:
    """A record that holds, in the project's terms.

    digest: xxh3-128 of the normalised text alone, 16 bytes, so that a syndicated copy under another
        title or address is the same content.
    id: the record's own; its digest in hex where it has none.
    """

    id: str
    url: Url
    origin: Origin
    title: str
    text: str
    date: str | None
    digest: bytes

    def to_json(self) -> bytes:
        """The line of the annotated corpus, with its end."""
        record = {
            "id": self.id,
            "url": self.url.href,
            "host": self.url.host.name,
            "domain": self.url.host.domain,
            "path": self.url.path,
            "country": self.origin.country,
            "continent": self.origin.continent,
            "title": self.title,
            "text": self.text,
            "hash": self.digest.hex(),
        }
        if self.date is not None:
            record["date"] = self.date
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def parse_record(line: bytes, rules: OriginRules) -> Document:
    """The document in `line`. Raises Rejected with the first reason that applies."""
    record = _load(line)
    if not isinstance(record, dict):
        raise Rejected("wrong_type", f"the record is {_type(record)}, not an object")
    text = _text(record)
    title = " ".join((_string(record, "title") or "").split())
    address = _string(record, "url")
    if address is None or not address.strip():
        raise Rejected("missing_url", "no url")
    url = parse_url(address)
    origin = rules.origin(
        _nonempty(_string(record, "country")), _nonempty(_string(record, "continent")), url.host
    )
    digest = xxhash.xxh3_128_digest(text.encode())
    return Document(
        id=_identifier(record) or digest.hex(),
        url=url,
        origin=origin,
        title=title,
        text=text,
        date=_nonempty(_string(record, "date")),
        digest=digest,
    )


def _load(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    try:
        decoded = line.decode()
    except UnicodeDecodeError as error:
        raise Rejected("invalid_utf8", f"byte {error.start}: {error.reason}") from None
    if "\\u" not in decoded:
        raise Rejected("broken_json", reason)
    # orjson refuses the escape of a lone surrogate, which real crawls have; json reads it, and
    # it becomes U+FFFD.
    try:
        return json.loads(decoded, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Rejected("broken_json", reason) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _text(record: dict[str, Any]) -> str:
    text = _string(record, "text")
    if text is None:
        raise Rejected("missing_text", "no text")
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise Rejected("empty_text", "only white space")
    return text


def _identifier(record: dict[str, Any]) -> str | None:
    value = record.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _nonempty(_string(record, "id"))


def _string(record: dict[str, Any], field: str) -> str | None:
    value = record.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Rejected("wrong_type", f"{field} is {_type(value)}, not a string")
    return scrub(value)


def _nonempty(value: str | None) -> str | None:
    return value if value is not None and value.strip() else None


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}
    return names.get(type(value), "null" if value is None else "a number")
