"""Metadata fields of the user's own: columns of the input that are kept, and constants."""

import re
from dataclasses import fields
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from data_prep.document import Document
from geo_nemo.config.section import Section
from geo_nemo.metadata.fields import FIELDS, find_field
from geo_nemo.metadata.geography import country_code
from geo_nemo.store.manifest import FieldKind

Constant = bool | int | float | str | list[bool | int | float | str]
# Of the fields that every record may have, those that can be the same for all of a source.
CONSTANTS = ("country", "continent", "date", "language", "quality")
_WITH_TYPE = "{column: NAME, type: number}"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_COLUMNS = {field.name for field in fields(Document)} | {
    "cluster", "text_bytes", "characters", "scheme", "fields", "tokens",
}  # fmt: skip
_MAPPED = {"id", "url", "title", "text", "country", "continent", "date", "language", "quality"}


class ExtraField(Section):
    """A column of the input that is kept as a metadata field.

    column: its name; dots reach into objects. type: `category`, `text` that makes no groups,
        `number` or `date`. several: what is kept of a list, `all` of its values or the `first`.
    """

    column: str
    type: FieldKind = "category"
    several: Literal["all", "first"] = "all"

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        named = {"column": value} if isinstance(value, str) else value
        if not isinstance(named, dict | cls):
            raise ValueError(f"{value!r} names no column: write its name, or {_WITH_TYPE}")
        if isinstance(named, dict) and not str(named.get("column") or "").strip():
            raise ValueError(f"it names no column: write its name, or {_WITH_TYPE}")
        return named

    @model_serializer(mode="wrap")
    def _without_usual(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it was before lists could be cut, so that stages done then are not done again."""
        written: dict[str, Any] = write(self)
        if self.several == "all":
            del written["several"]
        return written


def named_columns(value: Any) -> Any:
    """`topic` and `[topic, rights]`, columns that are called as their fields, as a dict of them."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    for column in value:
        if column == "":
            raise ValueError("it names no column: write fields.extra=topic")
        if not isinstance(column, str) or not _NAME.match(column):
            raise ValueError(
                f"{column!r} is no name of a field: write fields.extra.topic={column} for a field "
                f"topic of this column"
            )
    return {column: column for column in value}


def check_name(name: str, key: str | None) -> None:
    """Raise ValueError where a field of the user's own cannot be called so.

    key: of the setting that names it; None where code does.
    """
    if not _NAME.match(name):
        raise ValueError(
            f"{name!r} is no name of a field: take small letters, digits and _, as in topic"
        )
    if name in _MAPPED and key is not None:
        raise ValueError(f"{name} is built in: write {key.replace('extra.', '')}=COLUMN")
    if name in _MAPPED | _COLUMNS or (name in FIELDS and name != "topic"):
        raise ValueError(f"{name} is built in: choose another name, such as own_{name}"[:120])
    if any(form.columns != (name,) for form in find_field(name).forms.values()):
        raise ValueError(f"{name} is a field that an installed package declares: choose another")


def check_constant(name: str, value: Constant) -> None:
    """The same for a name in `set`, and for a value that no document could have."""
    if isinstance(value, str | list) and not (value if isinstance(value, list) else value.strip()):
        raise ValueError(f"{name} is empty: give a value, or leave it out")
    if name == "country" and (not isinstance(value, str) or country_code(value) is None):
        raise ValueError(f"country={value!r} is no country: write its code, as gb")
    if name in CONSTANTS:
        return
    if name in _MAPPED or name in _COLUMNS:
        raise ValueError(
            f"{name} cannot be set for a source; {', '.join(CONSTANTS)} and names of your own can"
        )
    check_name(name, name)
