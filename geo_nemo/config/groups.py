"""The names of metadata fields, and those by which losses and tokens are told apart."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError(
            f"{value!r} is no name of a field: take small letters, digits and _, as in topic"
        )
    return value


# A field of geo_nemo.metadata.fields, or a column of the user's own that a store keeps.
FieldName = Annotated[str, AfterValidator(_name)]


def _different(fields: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(fields)) != len(fields):
        raise ValueError(f"names {fields[0]} twice")
    return fields


# One field, or two and the table of both.
Groups = Annotated[
    tuple[FieldName, ...],
    Field(min_length=1, max_length=2),
    AfterValidator(_different),
]
