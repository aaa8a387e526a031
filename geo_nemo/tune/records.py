"""Reads instructions and conversations with what is known of their origin; needs no torch.

    {"instruction": "...", "input": "", "output": "...", "country": "ng", "host": "punchng.com"}
    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}],
     "metadata": {"url": "https://punchng.com/a", "topic": "sport"}}

Metadata stand beside the text or under `metadata`. Each mistake is a `UserError` that names file
and line.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geo_nemo.config import UserError
from geo_nemo.metadata.geography import UNKNOWN, continent_of, country_code
from geo_nemo.metadata.record import MetadataRecord

ROLES = ("user", "assistant")
_TEXTS = ("instruction", "input", "output", "messages", "metadata", "title")
_NUMBERS = ("year", "quality")


@dataclass(frozen=True, slots=True)
class Conversation:
    """turns: user and assistant in turn, the user first. place: file and line, for errors."""

    turns: tuple[str, ...]
    record: MetadataRecord
    place: str


def read_conversations(path: Path, wanted: Collection[str]) -> Iterator[Conversation]:
    """The records of a JSONL file, in order; empty lines are skipped.

    wanted: names of metadata that a model may be told; others of a record are left aside.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _conversation(line, f"{path}:{number}", wanted)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; give data=FILE") from None


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
    built_in = {"host", "country", "continent", "path", "scheme", "year", "quality", "source"}
    own = {name: columns.pop(name) for name in list(columns) if name not in built_in}
    return MetadataRecord(**columns, extra=own)


def _conversation(line: bytes, place: str, wanted: Collection[str]) -> Conversation:
    try:
        found = json.loads(line)
    except ValueError:
        raise UserError(f"{place} is not JSON: give a record a line") from None
    if not isinstance(found, dict):
        raise UserError(f"{place} is no record: give an object with messages, or instruction")
    turns = _messages(found["messages"], place) if "messages" in found else _alpaca(found, place)
    metadata = found.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise UserError(f"{place}: metadata is no object of names and values")
    named = {
        name: value
        for name, value in {**found, **metadata}.items()
        if name in wanted and name not in _TEXTS
    }
    return Conversation(turns, record_of(named, place), place)


def _alpaca(found: Mapping[str, Any], place: str) -> tuple[str, str]:
    texts = {name: found.get(name) or "" for name in ("instruction", "input", "output")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise UserError(f"{place}: {name} is no text")
    if not texts["instruction"].strip():
        raise UserError(f"{place} has neither messages nor an instruction: there is nothing to ask")
    if not texts["output"].strip():
        raise UserError(f"{place} has no answer: output is empty; give one, or drop the record")
    asked = "\n\n".join(text.strip() for text in (texts["instruction"], texts["input"]) if text)
    return asked.strip(), texts["output"].strip()


def _messages(messages: Any, place: str) -> tuple[str, ...]:
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{place}: messages is no list of turns")
    turns = []
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise UserError(f"{place}: turn {number + 1} has no role and content in text")
        wanted, role = ROLES[number % 2], message.get("role")
        if role != wanted:
            raise UserError(
                f"{place}: turn {number + 1} is of {role}, and {wanted} is next: user and "
                "assistant take turns, the user first"
            )
        if not message["content"].strip():
            raise UserError(f"{place}: turn {number + 1}, of {role}, is empty")
        turns.append(message["content"].strip())
    if len(turns) % 2:
        raise UserError(f"{place} has no answer: its last turn is the user's")
    return tuple(turns)


def as_messages(turns: Sequence[str]) -> list[dict[str, str]]:
    """Turns as chat templates take them."""
    return [{"role": ROLES[n % 2], "content": text} for n, text in enumerate(turns)]


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
