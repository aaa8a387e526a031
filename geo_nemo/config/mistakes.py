"""What is wrong with a config, from pydantic's error: the key as it is typed, and what to write."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from geo_nemo.config.section import kinds_of

_LIST, _KEYS = "write a list, as [a,b]", "write keys and values, as {{key: value}}"
# By the kinds of mistake of pydantic; the others are told in its own words.
_WORDS = {
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _KEYS,
    "model_type": _KEYS,
    "model_attributes_type": _KEYS,
    "string_type": "write a text; in quotes, as '1', where it looks like a number",
    "too_long": "it has {actual_length} values, and may have {max_length}",
    "too_short": "it has {actual_length} values, and needs {min_length}",
}
# An address may be a secret, as webhooks are; an error names the key, and that will do.
WEB_ADDRESS = re.compile(r"(https?://)[^\s,\]})]+")
# Behind a key of a mapping, where the key is wrong and not its value.
_A_KEY = "[key]"
# Names that an error still lists one by one.
MANY = 20


def wanted(a_list: bool) -> str:
    """What to write where something else was given: a list, or keys and values."""
    return _LIST if a_list else _KEYS.format()


def in_words(mistake: Mapping[str, Any]) -> str:
    """One of a ValidationError's `errors()`."""
    words, message = _WORDS.get(mistake["type"]), mistake["msg"]
    if mistake["type"] == "string_too_short" and not mistake["input"]:
        return "it is empty: give a text"
    if words is None:
        return message[0].lower() + message[1:]
    return words.format(**mistake.get("ctx", {}))


def without_addresses(text: str) -> str:
    return WEB_ADDRESS.sub(r"\1...", text)


def first_mistake(
    schema: type[BaseModel], error: ValidationError, typed: bool, is_group: Callable[[str], bool]
) -> str:
    """The first of a config's mistakes, and how many more there are.

    typed: of a command, which takes settings. is_group: whether there are recipes of a name.
    """
    mistakes = error.errors(include_url=False)
    # A list whose values are wrong is called too short as well.
    inner = {mistake["loc"][:-depth] for mistake in mistakes for depth in range(1, 9)}
    mistakes = [m for m in mistakes if m["type"] != "too_short" or m["loc"] not in inner]
    # A misspelt key often leaves another one without a value: it is the one to name.
    mistakes.sort(key=lambda mistake: mistake["type"] != "extra_forbidden")
    first = mistakes[0]
    location = place_of(schema, first)
    key = ".".join(map(str, location))
    if first["type"] == "extra_forbidden":
        line = f"unknown key {key}{_meant(schema, location)}"
    elif first["type"] == "value_error":
        line = f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    elif first["type"] == "missing":
        missing = [place_of(schema, m) for m in mistakes if m["type"] == "missing"]
        line = _absent(missing, typed, is_group)
        mistakes = mistakes[len(missing) - 1 :]
    else:
        given = without_addresses(repr(first["input"]))
        line = f"{key}={given[:80]}: {in_words(first)}"
        if typed and _names_recipe(first, location, is_group):
            line += f"; or name a recipe, as {location[-1]}@{key}={first['input']}"
    # What `fields` of a preparation says wrongly is said again of each of its sources.
    more = len({(each["loc"][-1:], each["type"], each["msg"]) for each in mistakes}) - 1
    return line + (f" (and {more} more)" if more else "")


def _names_recipe(
    mistake: Mapping[str, Any], location: Sequence[str | int], is_group: Callable[[str], bool]
) -> bool:
    """Whether a word stands where a recipe may be put, but by another way of writing it."""
    a_section = mistake["type"] in ("model_type", "model_attributes_type")
    is_word = isinstance(mistake["input"], str) and mistake["input"] != ""
    return a_section and is_word and len(location) > 1 and is_group(str(location[-1]))


def place_of(schema: type[BaseModel], mistake: Mapping[str, Any]) -> list[str | int]:
    """Where a mistake is, as a setting is written.

    pydantic also names which kind of a union it tried, and that a mapping's key is meant.
    """
    location = mistake["loc"]
    unknown = location[-1:] if mistake["type"] == "extra_forbidden" else ()
    kinds: list[Any] = [schema]
    found = []
    for part in location[: len(location) - len(unknown)]:
        below = _below(kinds, part)
        if below is not None:
            found.append(part)
            kinds = below
    return [*found, *unknown]


def _below(kinds: Sequence[Any], part: str | int) -> list[Any] | None:
    """What may stand at a place within one of `kinds`; None where there is no such place."""
    below: list[Any] = []
    for kind in kinds if part != _A_KEY else ():
        arguments = get_args(kind)
        if kind is Any:
            below.append(Any)
        elif get_origin(kind) is dict:
            below += kinds_of(arguments[1])
        elif isinstance(part, int) and get_origin(kind) in (tuple, list):
            below += [each for of in arguments if of is not ... for each in kinds_of(of)]
        elif _is_section(kind) and part in kind.model_fields:
            below += kinds_of(kind.model_fields[part].annotation)
    return below or None


def _absent(
    missing: Sequence[Sequence[str | int]], typed: bool, is_group: Callable[[str], bool]
) -> str:
    """What has no value, and where to write one."""
    above, last = list(missing[0][:-1]), missing[0][-1]
    key = ".".join(map(str, missing[0]))
    if isinstance(last, int):
        counted = [place for place in missing if list(place[:-1]) == above]
        return f"{'.'.join(map(str, above))}: it has {last} values, and needs {last + len(counted)}"
    line = f"no value for {', '.join('.'.join(map(str, place)) for place in missing)}"
    if any(isinstance(part, int) for part in above):
        return f"{line}: write it there, as {{{last}: ...}}"
    if not typed:
        return f"{line}: write it there"
    if above and is_group(last):
        return f"{line}: add +{last}@{key}=NAME to the command, of a recipe"
    return f"{line}: add {key}=... to the command"


def _meant(schema: type[BaseModel], location: Sequence[Any]) -> str:
    """The key that an unknown one stands for: the same name elsewhere, or the nearest here."""
    *section, name = (str(part) for part in location)
    if name in schema.model_fields:
        return f"; did you mean {name}?"
    there = _fields_at(schema, location[:-1])
    # Not in what is a mapping of sections, which have names.
    below = [
        part
        for part in there
        if not section
        and _is_section(schema.model_fields[part].annotation)
        and name in _fields_at(schema, [part])
    ]
    if len(below) == 1:
        return f"; did you mean {'.'.join([*section, below[0], name])}?"
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {'.'.join([*section, near[0]])}?"
    return f"; there is {', '.join(there)}" if 0 < len(there) <= MANY else ""


def _fields_at(schema: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Names of the fields of the section that `location` leads to."""
    kinds: list[Any] = [schema]
    for part in location:
        kinds = _below(kinds, part) or []
    return next((list(kind.model_fields) for kind in kinds if _is_section(kind)), [])


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
