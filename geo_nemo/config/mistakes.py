"""What is wrong with a value of a setting, in words that do not need Python's."""

from collections.abc import Mapping
from typing import Any

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


def wanted(a_list: bool) -> str:
    """What to write where something else was given: a list, or keys and values."""
    return _LIST if a_list else _KEYS.format()


def in_words(mistake: Mapping[str, Any]) -> str:
    """One of a ValidationError's `errors()`."""
    words, message = _WORDS.get(mistake["type"]), mistake["msg"]
    if words is None:
        return message[0].lower() + message[1:]
    return words.format(**mistake.get("ctx", {}))
