"""Whether a store has what the fields of a metadata policy are made of."""

from collections.abc import Iterator

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.metadata.fields import (
    Line,
    find_field,
    is_declared,
    key_columns,
    lines_of,
    unknown_field,
)
from geo_nemo.store.reader import TokenStore
from geo_nemo.store.split import Split

_CHUNK = 1 << 16
_QUARTERS = ("low", "fair", "good", "high")


def check_columns(policy: MetadataPolicy, store: TokenStore | Split, key: str) -> None:
    """Raise `UserError` where a field of the policy needs a column that the store does not keep.

    key: what the user calls the policy.
    """
    own, is_option = store.columns, key.startswith("--")
    if policy.forms.get("quality") == "coarse" and not policy.quality_bands:
        raise UserError(
            f"{key}: quality as coarse needs quality_bands, by name and least quality; the "
            f"quarters of this store are {_quarters(store)}"
        )
    for line in lines_of(policy):
        missing = [column for column in line.columns if column not in own]
        if not missing:
            continue
        if is_declared(line.name):
            others = [
                name
                for name, form in find_field(line.name).forms.items()
                if set(form.columns) <= set(own)
            ]
            form = f"{key} {line.name}:FORM" if is_option else f"forms.{line.name}"
            hint = f"; {form} may be {' or '.join(others)} here" if others else ""
            raise UserError(
                f"{key}: {line.name} as {line.form} needs the column {missing[0]}, which "
                f"{store.root} does not keep: it keeps {', '.join(own)}{hint}; make the store anew "
                f"with {_command(missing[0])}"
            )
        raise UserError(
            f"{key}: no field {line.name}, {unknown_field(line.name, own)}; a column of your input "
            f"becomes one by geo-nemo prep run ... fields.extra.{line.name}=COLUMN"
        )


def check_fields(policy: MetadataPolicy, split: Split, key: str) -> None:
    """`check_columns`, and a `UserError` where no document of the split has a field of the policy.

    Reads columns until one document is found that has the field.
    """
    check_columns(policy, split, key)
    for line in lines_of(policy):
        if not any(_values(line, split)):
            raise UserError(
                f"{key}: no document of split {split.name} of {split.root} has the field "
                f"{line.name} ({', '.join(line.columns)}): leave it out, or make the store from "
                f"input that has it"
            )


def _command(column: str) -> str:
    """What makes a store that keeps a column."""
    if column == "language":
        return "geo-nemo prep run ... fields.language=COLUMN, or annotate.languages=[en]"
    if column == "date":
        return "geo-nemo prep run ... fields.date=COLUMN from input with dates"
    return f"geo-nemo prep run ... fields.extra.{column}=COLUMN"


def _quarters(store: TokenStore | Split) -> str:
    """Bands of about a quarter of the documents each, as YAML; equal quality stays together."""
    split = store if isinstance(store, Split) else store.split(store.splits[0])
    counts = np.bincount(split.codes("quality"), minlength=101)[:101]  # without NO_QUALITY
    below = np.cumsum(counts) / max(counts.sum(), 1)
    borders = [0, *(int(np.searchsorted(below, fraction)) + 1 for fraction in (0.25, 0.5, 0.75))]
    rising = {min(border, 100): name for name, border in zip(_QUARTERS, borders, strict=True)}
    return "{" + ", ".join(f"{name}: {border}" for border, name in rising.items()) + "}"


def _values(line: Line, split: Split) -> Iterator[str | None]:
    """What the line says of some documents: one of each kind, chunk by chunk."""
    yield line.value(split.record(0))
    keys = key_columns([line])
    for first in range(0, split.num_documents, _CHUNK):
        span = slice(first, min(first + _CHUNK, split.num_documents))
        if keys is None:
            chosen = np.arange(span.start, span.stop)
        else:
            codes = [split.codes(name)[span].astype(np.int64) for name in keys]
            together = np.stack([*codes, np.zeros(span.stop - first, np.int64)], axis=1)
            chosen = first + np.unique(together, axis=0, return_index=True)[1]
        for document in chosen.tolist():
            yield line.value(split.record(document))
