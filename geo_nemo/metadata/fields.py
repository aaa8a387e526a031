"""The registry of metadata fields: one declaration each, and everything else follows from it.

A field has a name, which a policy lists, and a label, which stands in the prefix. Its value is a
function of columns of the document that it declares, and it gets no other: so whoever caches
prefixes or counts their tokens asks `key_columns` what tells two documents apart. Forms are ways to
write one field, as a URL whole or its host alone; a policy chooses one by `forms` or `url_form`.

To add one: a call of `_field` below, or in another package an entry point of the group
`geo_nemo.metadata_fields`, named as the field, that leads to a `Field`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint

from geo_nemo.common.errors import UserError
from geo_nemo.config.plugins import code_hash, entry_points
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.metadata.record import KEY_OF, MetadataRecord

Value = Callable[..., str | None]
ENTRY_POINTS = "geo_nemo.metadata_fields"


@dataclass(frozen=True)
class Form:
    """A way to write a field.

    columns: those that `value` is called with, in order. value: what stands behind the label; None
        where the document has none, and its line is left out.
    words: what a report calls it. settings: of the policy, which `value` gets by name.
    """

    columns: tuple[str, ...]
    value: Value
    words: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A kind of metadata; the first of its forms is the usual one."""

    name: str
    label: str
    forms: Mapping[str, Form]


@dataclass(frozen=True)
class Line:
    """A field in the form that a policy gives it."""

    name: str
    label: str
    form: str
    columns: tuple[str, ...]
    words: str
    _value: Value

    def value(self, record: MetadataRecord) -> str | None:
        """What the line says of a document; None where there is no line."""
        value = self._value(*map(record.column, self.columns))
        if not value:
            return None
        return value.replace("\n", " ") if "\n" in value else value


FIELDS: dict[str, Field] = {}


def _field(name: str, label: str, **forms: Form) -> None:
    FIELDS[name] = Field(name, label, forms)


def _one(words: str, *columns: str, value: Value) -> dict[str, Form]:
    """The forms of a field that has one."""
    return {"plain": Form(columns, value, words)}


def _as_it_is(value: str | None) -> str | None:
    return value or None


def _decade(year: int) -> str | None:
    return f"{year // 10 * 10}s" if year else None


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _band(value: int | None, quality_bands: Mapping[str, int]) -> str | None:
    """The name of the last band that begins at or below `value`."""
    if value is None:
        return None
    return [name for name, least in quality_bands.items() if least <= value][-1]


_field(
    "url",
    "URL",
    host=Form(("host",), _as_it_is, "host"),
    path=Form(("host", "path"), lambda host, path: host + path, "host and path"),
    full=Form(
        ("scheme", "host", "path"),
        lambda scheme, host, path: f"{scheme}://{host}{path}" if host else None,
        "full URL",
    ),
)
_field("host", "HOST", **_one("host", "host", value=_as_it_is))
_field("country", "COUNTRY", **_one("country", "country", value=_as_it_is))
_field("continent", "CONTINENT", **_one("continent", "continent", value=_as_it_is))
_field("year", "YEAR", **_one("year", "year", value=lambda year: str(year) if year else None))
_field(
    "date",
    "DATE",
    day=Form(("date",), _as_it_is, "date"),
    month=Form(("date",), lambda date: date[:7] if date else None, "month"),
    year=Form(("year",), lambda year: str(year) if year else None, "year"),
    decade=Form(("year",), _decade, "decade"),
)
_field("language", "LANGUAGE", **_one("language", "language", value=_as_it_is))
_field("source", "SOURCE", **_one("source", "source", value=_as_it_is))
_field(
    "quality",
    "QUALITY",
    fine=Form(("quality",), _number, "quality"),
    coarse=Form(("quality",), _band, "band of quality", settings=("quality_bands",)),
)
_field("topic", "TOPIC", **_one("topic", "topic", value=_as_it_is))


def lines_of(policy: MetadataPolicy) -> tuple[Line, ...]:
    """The lines of a policy's prefix, in order; `UserError` for a form that there is not.

    A name that is no field of the registry is a column of the user's own: `check_fields` of
    geo_nemo.store says whether a store has it.
    """
    return tuple(_line(find_field(name), policy) for name in policy.fields)


def find_field(name: str) -> Field:
    """The declaration of a field, or one made of the user's own column of that name."""
    found = FIELDS.get(name) or _installed(name)
    return found or Field(name, name.upper(), _one(name, name, value=_text))


def is_declared(name: str) -> bool:
    """Whether a field is in the registry, rather than a column of the user's own."""
    return name in FIELDS or _installed(name) is not None


def brought_fields(policy: MetadataPolicy) -> str:
    """The fields of a policy that other packages declare, each with a hash of the file that does.

    Empty: none. It belongs beside the policy's hash, which knows their names alone.
    """
    points = [point for name in policy.fields if name not in FIELDS for point in _points(name)[:1]]
    return " ".join(f"{point.value} {_hash_of(point)}" for point in points)


def key_columns(lines: Iterable[Line]) -> tuple[str, ...] | None:
    """Integer columns of a store that decide what these lines say, sorted.

    None where something does that is not an integer column, as a path: each document is its own.
    """
    keys = {KEY_OF.get(column, column) for line in lines for column in line.columns}
    return None if None in keys else tuple(sorted(key for key in keys if key is not None))


def field_words(policy: MetadataPolicy) -> str:
    """`host, country and continent`: what a policy tells, for a report."""
    names = [line.words for line in lines_of(policy)]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def unknown_field(name: str, there: Iterable[str]) -> str:
    """The part of an error that says which fields there are instead."""
    names = [*FIELDS, *sorted(set(there) - FIELDS.keys())]
    near = difflib.get_close_matches(name, names, n=1)
    return f"there is {', '.join(names)}" + (f"; did you mean {near[0]}?" if near else "")


def _line(field: Field, policy: MetadataPolicy) -> Line:
    usual = next(iter(field.forms))
    chosen = policy.url_form if field.name == "url" else policy.forms.get(field.name, usual)
    form = field.forms.get(chosen)
    if form is None:
        raise UserError(
            f"metadata.forms.{field.name}={chosen}: {field.name} is written as "
            f"{' or '.join(field.forms)}"
        )
    value = form.value
    if form.settings:
        given = {name: getattr(policy, name) for name in form.settings}
        for name in form.settings:
            if not given[name]:
                raise UserError(f"{field.name} as {chosen} needs metadata.{name}: give it")
        value = lambda *columns: form.value(*columns, **given)  # noqa: E731
    return Line(field.name, field.label, chosen, form.columns, form.words, value)


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _points(name: str) -> list[EntryPoint]:
    """What packages offer as the field."""
    return list(entry_points(group=ENTRY_POINTS, name=name))


@cache
def _hash_of(point: EntryPoint) -> str:
    try:
        return code_hash(import_module(point.module))
    except ValueError:
        raise UserError(
            f"{point.value}, which {ENTRY_POINTS} names, stands in no file of Python: put it in one"
        ) from None


@cache
def _installed(name: str) -> Field | None:
    """A field that another package declares."""
    for point in _points(name):
        try:
            found = point.load()
        except Exception as error:
            raise UserError(
                f"the field {name} of {point.dist and point.dist.name} cannot be loaded: {error}"
            ) from None
        if not isinstance(found, Field) or found.name != name:
            raise UserError(f"{point.value}, which {ENTRY_POINTS} names, is no Field {name}")
        if not found.label.strip() or "\n" in found.label:
            raise UserError(
                f"the field {name} of {point.value} has the label {found.label!r}: a label is "
                f"one line"
            )
        return found
    return None
