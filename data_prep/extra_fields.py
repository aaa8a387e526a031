"""Metadata fields of the user's own over a whole run: constants, counts, and those nobody has."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from data_prep.config import Prep, Source
from data_prep.config.extra import CONSTANTS
from data_prep.read.fields import EXTRA, Fields, nearest
from geo_nemo.common.errors import UserError

# What Hive calls the folder of records without a value.
NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def constant_fields(source: Source) -> dict[str, Any]:
    """What a source sets, by the names of a record's fields."""
    return {n if n in CONSTANTS else f"{EXTRA}{n}": value for n, value in source.set.items()}


def partition_fields(path: str, source: Source) -> dict[str, str]:
    """Fields that stand in the folders below a source, `country=ke/part-0.parquet`, as Spark and
    Hive write them; a record's own go before them.
    """
    if "=" not in path.rpartition("/")[0]:
        return {}
    names: dict[str, str] = {}
    fixed = re.split(r"[*?[]", source.path)[0].rpartition("/")[0]
    for folder in path[len(fixed) :].split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if equals and name and value not in ("", NO_PARTITION):
            names[name.casefold()] = unquote(value)
    found = {}
    for ours, theirs in Fields(source.fields).names.items():
        if (value := names.get(theirs.casefold())) is not None:
            found[ours] = value
    return found


def given_fields(path: str, source: Source) -> dict[str, Any]:
    """What every record of a file has where it does not say it itself."""
    return partition_fields(path, source) | constant_fields(source)


def with_given(given: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record's fields and, of what is given, those that it does not say: blank says nothing."""
    said = {n: value for n, value in fields.items() if n not in given or not _is_blank(value)}
    return {**given, **said}


def _is_blank(value: Any) -> bool:
    from data_prep.annotate.text import MISSING  # what it stands among is slow to import

    if isinstance(value, str):
        return not value.strip() or value.strip() in MISSING
    return value == [] or value != value  # NaN


def own_counts(counts: Mapping[str, Counter[str]], seen: Sequence[str]) -> dict[str, Any]:
    """For the receipt of a task; nothing where there are no such fields."""
    if not counts:
        return {}
    by_name = {name: dict(sorted(each.items())) for name, each in counts.items()}
    return {"fields": by_name, "columns": list(seen)}


def summed_fields(tasks: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Counts of each field over all tasks."""
    found: dict[str, Counter[str]] = {}
    for counts in tasks:
        for name, each in counts.get("fields", {}).items():
            found.setdefault(name, Counter()).update(each)
    return found


def columns_of(config: Prep, name: str) -> set[str]:
    """What the sources call a field."""
    return {s.fields.extra[name].column for s in config.input if name in s.fields.extra}


def check_own_fields(config: Prep, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Raise UserError where no document has a field that was asked for."""
    found = summed_fields(tasks)
    for name in config.kinds:
        # What annotators look for may be nowhere.
        if found[name]["documents"] or name in config.annotate.found_fields:
            continue
        columns = columns_of(config, name)
        unusable = found[name]["unusable"]
        kind = config.kinds[name]
        if unusable:
            column = min(columns, default=name)
            mend = f"write fields.extra.{name}={{column: {column}, type: category}}"
            if kind in ("category", "text"):
                mend = "they are neither text nor numbers: leave it out, or name a part of them"
            raise UserError(
                f"fields.extra.{name}: none of its {unusable:,} values is of type {kind}: {mend}"
            )
        there = next((task["columns"] for task in tasks if task["columns"]), [])
        raise UserError(
            f"fields.extra.{name}={', '.join(sorted(columns))}: no document has it"
            + (f"; {nearest(min(columns, default=name), there)}" if there else "")
        )
