"""Reads instructions and conversations with what is known of their origin; needs no torch.

    {"instruction": "...", "input": "", "output": "...", "country": "ng", "host": "punchng.com"}
    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}],
     "metadata": {"url": "https://punchng.com/a", "topic": "sport"}}

Metadata stand beside the text or under `metadata`. Each mistake is a `UserError` that names file
and line.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_nemo.config import UserError
from geo_nemo.metadata.given import parse_line, record_of
from geo_nemo.metadata.record import MetadataRecord

ROLES = ("user", "assistant")
_TEXTS = ("instruction", "input", "output", "messages", "metadata", "title")


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


def _conversation(line: bytes, place: str, wanted: Collection[str]) -> Conversation:
    found, metadata = parse_line(line, place, "messages, or instruction")
    turns = _messages(found["messages"], place) if "messages" in found else _alpaca(found, place)
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
