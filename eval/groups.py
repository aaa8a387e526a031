"""Which documents share a line of a table: all, those of each value of a field, of two together.

A value is that of the document's record, so that it needs neither a store's columns nor that a
training has seen it. A document of which a field has several values stands in the line of each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product

import numpy as np

from eval.model import Model
from geo_nemo.common.log import logger
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.metadata.fields import Line, lines_of
from geo_nemo.metadata.record import MetadataRecord
from geo_nemo.store.field_column import UNKNOWN, Several

ALL = "all"
# What stands between two fields, and between their values.
AND, COMMA = " and ", ", "
MOST_GROUPS = 10_000
# Values of a field that has a table without being asked for.
MOST_UNASKED = 200
_ADDRESS_AND_PLACE = ("url", "host", "country", "continent")
LOG = logger(__name__)


@dataclass(frozen=True, slots=True)
class Group:
    """Documents that share a line of a table. places: int [n].

    kind: `all`, a field, or two, `country and topic`. name: the value, or two, `gb, sport`.
    """

    kind: str
    name: str
    places: np.ndarray


def fields_of(given: Sequence[str] | None, models: Iterable[Model]) -> tuple[str, ...]:
    """The fields of an evaluation: those that are given, else those of the models."""
    if given is not None:
        return tuple(given)
    return tuple(dict.fromkeys(field for model in models for field in model.groups)) or ("country",)


def told_fields(
    policies: Iterable[MetadataPolicy], records: Sequence[MetadataRecord], asked: Sequence[str]
) -> tuple[str, ...]:
    """Fields that models are told and nobody asked a table of, but which have few values.

    An address is a document's own, and places have tables anyhow. A field with more than
    MOST_UNASKED values is named in a warning.
    """
    told = dict.fromkeys(field for policy in policies for field in policy.fields)
    found = []
    for field in told:
        if field in asked or field in _ADDRESS_AND_PLACE:
            continue
        number = len(set(chain.from_iterable(_values(field, records))))
        if number > MOST_UNASKED:
            LOG.warning(
                "%s has %s values among the documents: there is no table by it, unless groups=%s "
                "asks for one", field, f"{number:,}", field,
            )  # fmt: skip
        elif number > 1:
            found.append(field)
    return tuple(found)


def groups(
    fields: Sequence[str], records: Sequence[MetadataRecord], others: Sequence[str] = ()
) -> list[Group]:
    """All documents, then each group that has one, field by field; of two fields each pair, too.

    A country's continent comes before it. others: fields that make no pairs. records: of the
    documents, in order. Raises UserError where a field tells documents apart rather than groups.
    """
    found = [Group(ALL, ALL, np.arange(len(records)))]
    names = {}
    for field in fields:
        if field == "country" and "continent" not in fields:
            names["continent"] = _values("continent", records)
        names[field] = _values(field, records)
    names |= {field: _values(field, records) for field in others}
    for field, values in names.items():
        found += _of_values(field, values)
    if len(fields) == 2:
        first, second = (names[field] for field in fields)
        both = [
            tuple(f"{a}{COMMA}{b}" for a, b in product(one, other))
            for one, other in zip(first, second, strict=True)
        ]
        found += _of_values(AND.join(fields), both)
    return found


def _values(field: str, records: Sequence[MetadataRecord]) -> list[tuple[str, ...]]:
    """Of each document: one value as a rule, and each of a field that has several."""
    (line,) = lines_of(MetadataPolicy(fields=(field,)))
    return [_of_record(line, record) for record in records]


def _of_record(line: Line, record: MetadataRecord) -> tuple[str, ...]:
    told = line.value(record)
    if told is None:
        return (UNKNOWN,)
    stored = record.column(line.columns[0])
    return stored.values if isinstance(stored, Several) and stored == told else (told,)


def _of_values(kind: str, values: Sequence[tuple[str, ...]]) -> list[Group]:
    at = np.repeat(np.arange(len(values)), [len(several) for several in values])
    distinct, number = np.unique(list(chain.from_iterable(values)), return_inverse=True)
    if len(distinct) > MOST_GROUPS:
        raise UserError(
            f"groups: {kind} has {len(distinct):,} values among the documents: choose a field with "
            f"at most {MOST_GROUPS:,}"
        )
    order = np.argsort(number, kind="stable")
    places = np.split(at[order], np.searchsorted(number[order], np.arange(1, len(distinct))))
    return [Group(kind, str(name), of) for name, of in zip(distinct, places, strict=True)]
