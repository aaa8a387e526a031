"""Prompts, and what a model is told beside them; needs no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.export.chat import told
from geo_nemo.metadata.fields import lines_of
from geo_nemo.metadata.given import parse_line, record_of

if TYPE_CHECKING:
    from geo_nemo.export.loaded import Folder

NONE = "none"
# Endings of files of records; any other has a prompt a line.
_RECORDS = (".jsonl", ".json", ".ndjson", ".jsonlines", ".jl", ".ldjson")


@dataclass(frozen=True, slots=True)
class Prompt:
    """turns: user and assistant in turn, the last one the user's. told: metadata by name.

    record: of a file, which the answer is written beside. place: its file and line.
    """

    turns: tuple[str, ...]
    told: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""


def is_for_chat(folder: "Folder", tokenizer: Any) -> bool:
    """Whether a model answers where nobody says: a tuned one, or another's with a chat template."""
    is_others = folder.policy is None
    return folder.is_tuned or (is_others and bool(tokenizer.chat_template))


class Tells:
    """Turns what a user gives into what the template takes, under one policy."""

    def __init__(self, policy: MetadataPolicy | None):
        self._policy = policy
        lines = lines_of(policy) if policy else ()
        columns = {name for line in lines for name in (line.name, *line.columns)}
        self.names = tuple(sorted(columns))

    def __call__(self, given: Mapping[str, Any], place: str) -> dict[str, str]:
        """Raises `UserError` for a name that training did not have."""
        given = {name: value for name, value in given.items() if value not in (None, "")}
        if unknown := sorted(set(given) - set(self.names) - ({"url"} if self.names else set())):
            knows = f"it knows {', '.join(self.names)}" if self.names else "it was told nothing"
            raise UserError(f"{place}: this model was not told {unknown[0]} in training: {knows}")
        return told(self._policy, record_of(given, place)) if given else {}


def parse_tell(words: Sequence[str], option: str = "--tell") -> dict[str, str]:
    """`name=value` of a command line. option: what stands before each."""
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.strip():
            raise UserError(f"{option} {word}: give name=value, as {option} topic=sport")
        if not value.strip():
            raise UserError(f"{option} {word}: its value is empty: give one, or leave it out")
        found[name.strip()] = value
    return found


def compared(word: str, given: Mapping[str, str], tells: Tells) -> list[tuple[str, dict[str, str]]]:
    """`ng,gb,none` as names and what each tells: a country beside `given`, or nothing at all."""
    found = []
    for name in dict.fromkeys(part.strip() for part in word.split(",")):
        if not name:
            raise UserError(f"--compare {word}: give countries and none, as ng,gb,none")
        own = {} if name == NONE else {**given, "country": name}
        found.append((name, tells(own, f"--compare {word}")))
    return found


def read_prompts(path: Path, tells: Tells, beside: Mapping[str, str]) -> Iterator[Prompt]:
    """Prompts of a file: JSON Lines, or a text with a prompt a line.

    A record has `prompt`, `instruction` (and `input`) or `messages`, and what is told under
    `metadata`. beside: told where a record has no metadata.
    """
    try:
        # Not splitlines, which cuts a text where it has U+2028 and the like.
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(f"cannot read {path}: {reason}; give --file FILE") from None
    is_json = path.suffix.lower() in _RECORDS
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        if is_json:
            yield _of_record(line, place, tells, beside)
        else:
            yield Prompt((line.strip(),), tells(beside, place), place=place)


def _of_record(line: str, place: str, tells: Tells, beside: Mapping[str, str]) -> Prompt:
    found, metadata = parse_line(line, place, "a prompt")
    # Metadata of a corpus may hold more than the model knows.
    known = {name: value for name, value in metadata.items() if name in (*tells.names, "url")}
    told = tells(known or beside, place)
    return Prompt(_turns(found, place), told, _text(found, "title", place), found, place)


def _text(found: Mapping[str, Any], name: str, place: str) -> str:
    text = found.get(name) or ""
    if not isinstance(text, str):
        raise UserError(f"{place}: {name} is no text")
    return text


def _turns(found: Mapping[str, Any], place: str) -> tuple[str, ...]:
    if "messages" in found:
        messages = found["messages"]
        try:
            turns = tuple(message["content"].strip() for message in messages)
            roles = [message["role"] for message in messages]
        except (TypeError, KeyError, AttributeError):
            raise UserError(
                f"{place}: messages is no list of role and content, each a text"
            ) from None
        if roles and roles[-1] == "assistant":  # what is known to be right is not shown
            turns, roles = turns[:-1], roles[:-1]
        if (
            roles != [("user", "assistant")[n % 2] for n in range(len(roles))]
            or len(roles) % 2 == 0
        ):
            raise UserError(f"{place}: user and assistant take turns, the user first and last")
        if "" in turns:
            raise UserError(
                f"{place}: turn {turns.index('') + 1}, of {roles[turns.index('')]}, is empty"
            )
        return turns
    asked = found.get("prompt") or found.get("instruction")
    if not isinstance(asked, str) or not asked.strip():
        raise UserError(f"{place} has no prompt, no instruction and no messages")
    more = _text(found, "input", place)
    return ("\n\n".join(text.strip() for text in (asked, more) if text.strip()),)
