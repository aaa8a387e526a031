"""Whether the columns of a field of the user's own mean something together."""

from collections.abc import Iterator, Mapping

import numpy as np

from geo_nemo.store.columns import rise_to
from geo_nemo.store.manifest import FieldEntry, field_file, field_of

Problem = tuple[str, str]


def entry_problem(field: FieldEntry) -> str:
    """What is wrong with what a manifest says of a field; empty where nothing is."""
    if not field.files:
        return ""
    if field.files.keys() != {"text", "end"}:
        return "lacks a file of its values"
    if field.files["text"].dtype != "uint8" or field.files["end"].dtype not in ("uint32", "uint64"):
        return "has values of a type that they cannot have"
    size = np.dtype(field.files["end"].dtype).itemsize
    return "" if field.files["end"].bytes == field.values * size else "has not as many values"


def value_problem(text: np.ndarray, end: np.ndarray) -> str:
    """What is wrong with values one behind another, the first of them empty."""
    if not len(end) or int(end[0]) or not rise_to(end, len(text)):
        return "does not match the ends of its values"
    try:
        text.tobytes().decode()
    except UnicodeDecodeError as error:
        return f"is no UTF-8 ({error.reason})"
    # No value may begin inside a character.
    starts = end[end < len(text)]
    return "is cut inside a character" if ((text[starts] & 0xC0) == 0x80).any() else ""


def field_problems(
    documents: int, columns: Mapping[str, np.ndarray], fields: Mapping[str, FieldEntry]
) -> list[Problem]:
    """File and problem of each column of a shard's fields that does not hold what it must."""
    names = sorted({found[0] for found in map(field_of, columns) if found})
    return [problem for name in names for problem in _of(name, documents, columns, fields[name])]


def _of(
    name: str, documents: int, columns: Mapping[str, np.ndarray], field: FieldEntry
) -> Iterator[Problem]:
    part = {
        each: columns[field_file(name, each)]
        for each in ("code", "text", "end", "map", "item", "item_end")
        if field_file(name, each) in columns
    }
    lists = {"item", "item_end"} & part.keys()
    wanted = {"code", "text", "end", *lists, *({"map"} if field.files else ())}
    if part.keys() != wanted or len(lists) == 1 or (lists and not field.many):
        yield field_file(name, "code"), "does not stand with the files that belong to it"
        return
    if problem := value_problem(part["text"], part["end"]):
        yield field_file(name, "text"), problem
    if len(part["code"]) != documents:
        found = f"has {len(part['code'])} values for {documents} documents"
        yield field_file(name, "code"), found
    limits = {"code": len(part["end"])}
    if lists:
        if not len(part["item_end"]) or int(part["item_end"][0]):
            yield field_file(name, "item_end"), "does not begin with a list of nothing"
        if not rise_to(part["item_end"], len(part["item"])):
            yield field_file(name, "item_end"), "does not match its items"
        limits = {"code": len(part["item_end"]), "item": len(part["end"])}
    if field.files:
        limits["map"] = field.values
        if len(part["map"]) != len(part["end"]):
            yield field_file(name, "map"), "has not a number for each value"
    for each, limit in limits.items():
        if len(part[each]) and int(part[each].max()) >= limit:
            yield field_file(name, each), f"holds {int(part[each].max())}, above {limit - 1}"
