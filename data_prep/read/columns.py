"""Rows of Arrow record batches as records, whatever the types that a shard gives its columns.

| columns | what is taken |
|---|---|
| text | string and binary: plain, large, or as views; null |
| others | these, numbers (12.0 is 12), truth values, decimals, lists, structs: as JSON's types |
| any | dictionary-encoded or run-end-encoded, extension types by their storage, inside structs |
| identifiers | UUIDs as they are written; bytes that are no text in hex |
| points in time | ISO 8601; one with a time zone as the clock of that zone shows it |

NaN is a missing value, as pandas writes it. A dictionary is never written out, nor views copied:
that could be far larger than their data.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from data_prep.config import Limits
from data_prep.read.fields import EXTRA, Fields, missing_column
from data_prep.read.jsonl import kind_of
from data_prep.read.record import Bad, DamagedError, Raw
from data_prep.read.unpack import FREE_BYTES
from data_prep.read.zones import clock
from geo_nemo.tokenizers.base import scrub

SLICE_ROWS = 256
# What a row costs at least: a few bytes can stand for millions of empty ones.
_ROW_BYTES = 64
MOST_DEEP = 4  # structs in structs whose names are told


@dataclass(frozen=True, slots=True)
class Column:
    """Where one of our fields is: a column, and the way into its structs."""

    ours: str
    index: int
    way: tuple[str, ...]


class Columns:
    """The columns of a file that hold our fields.

    Raises DamagedError: `missing_text`, `wrong_type`, `broken_header`.
    text_bytes: of the values given out so far.
    """

    def __init__(self, schema: pa.Schema, fields: Fields, limits: Limits, file_bytes: int):
        self._fields = fields
        self.text_bytes = 0
        self._record_bytes = limits.record_bytes
        self._most = FREE_BYTES + limits.expansion * file_bytes
        self._cost = 0
        if not fields.seen:
            fields.see([*schema.names, *_inside(schema)])
        self.bind(schema)

    def bind(self, schema: pa.Schema) -> None:
        """Find our fields in a schema, such as the narrower one of what is read."""
        self.found = list(_find(schema, self._fields))
        _check_text(schema, self.found, self._fields)

    def rows(self, batch: pa.RecordBatch, before: int) -> Iterator[Raw | Bad]:
        """The rows of a batch; `before` rows came before it. DamagedError where it is damaged."""
        try:
            arrays = [(column.ours, _array(batch, column)) for column in self.found]
        except (pa.ArrowException, UnicodeDecodeError, ValueError) as error:
            raise DamagedError("damaged_file", one_line(error)) from None
        for start in range(0, batch.num_rows, SLICE_ROWS):
            yield from self._rows(
                [(ours, array.slice(start, SLICE_ROWS)) for ours, array in arrays], before + start
            )

    def _rows(self, arrays: list[tuple[str, pa.Array]], before: int) -> Iterator[Raw | Bad]:
        count = len(arrays[0][1])
        bad: dict[int, tuple[str, str]] = {}
        arrays = self._without_long(arrays, count, bad)
        names = [ours for ours, _ in arrays]
        columns = [_values(ours, array, bad) for ours, array in arrays]
        for at, values in enumerate(zip(*columns, strict=True)):
            if at in bad:
                yield Bad(before + at + 1, *bad[at])
                continue
            pairs = zip(names, values, strict=True)
            yield Raw(before + at + 1, {name: v for name, v in pairs if v is not None})

    def _without_long(
        self, arrays: list[tuple[str, pa.Array]], count: int, bad: dict[int, tuple[str, str]]
    ) -> list[tuple[str, pa.Array]]:
        """`arrays` with rows over the limit emptied, and noted in `bad`."""
        lengths = [0] * count
        for _, array in arrays:
            for at, length in enumerate(_lengths(array)):
                lengths[at] += length or 0
        self.text_bytes += sum(lengths)
        self._cost += sum(min(n, self._record_bytes) for n in lengths) + _ROW_BYTES * count
        if self._cost > self._most:
            raise DamagedError("decompression_bomb", "its rows hold more than limits.expansion")
        if max(lengths, default=0) <= self._record_bytes:
            return arrays
        bad |= {
            at: ("record_too_long", f"a row of {n} bytes")
            for at, n in enumerate(lengths)
            if n > self._record_bytes
        }
        kept = pa.array([None if at in bad else at for at in range(count)], pa.int64())
        return [(ours, _take(array, kept)) for ours, array in arrays]


def one_line(error: Exception) -> str:
    """An error of pyarrow in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def refused(error: Exception) -> DamagedError:
    """What pyarrow says of a file that it does not read: damaged, or of types that it has not."""
    detail = one_line(error)
    if "not implemented" not in detail:
        return DamagedError("damaged_file", detail)
    # Polars writes integers of 128 bits, which Arrow's format does not have.
    mend = "write it without the columns of that type, or with them as text"
    return DamagedError("unknown_format", f"{detail}: {mend}")


def _find(schema: pa.Schema, fields: Fields) -> Iterator[Column]:
    for ours, theirs in fields.names.items():
        name, *way = [theirs] if theirs in schema.names else theirs.split(".")
        indices = schema.get_all_field_indices(name)
        if len(indices) > 1:
            raise DamagedError("broken_header", f"{len(indices)} columns are called {name!r}")
        if indices and _leads(schema.field(indices[0]).type, way):
            yield Column(ours, indices[0], tuple(way))


def _leads(kind: pa.DataType, way: list[str]) -> bool:
    for name in way:
        if not pt.is_struct(kind) or len(kind.get_all_field_indices(name)) != 1:
            return False
        kind = kind.field(name).type
    return True


def _check_text(schema: pa.Schema, found: list[Column], fields: Fields) -> None:
    text = next((column for column in found if column.ours == "text"), None)
    if text is None:
        detail = missing_column(fields.names["text"], [*schema.names, *_inside(schema)])
        raise DamagedError("missing_text", detail[:300])
    kind = schema.field(text.index).type
    for name in text.way:
        kind = kind.field(name).type
    while _is_coded(kind):
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind.value_type
    if not (_is_text(kind) or pt.is_null(kind)):
        detail = f"column {fields.names['text']!r} is {str(kind)!r}, not text"
        raise DamagedError("wrong_type", detail[:300])


def _is_coded(kind: pa.DataType) -> bool:
    """Whether a type stands for another one, in which its values are kept."""
    named = isinstance(kind, pa.BaseExtensionType)
    return named or pt.is_dictionary(kind) or pt.is_run_end_encoded(kind)


def _inside(fields: Iterable[pa.Field], deep: int = MOST_DEEP) -> list[str]:
    """Names of what stands in structs, with the way to it."""
    found = []
    for field in fields:
        if deep and pt.is_struct(field.type):
            inner = [each.name for each in field.type] + _inside(field.type, deep - 1)
            found += [f"{field.name}.{name}" for name in inner]
    return found


def _is_text(kind: pa.DataType) -> bool:
    return (
        pt.is_string(kind) or pt.is_large_string(kind)
        or pt.is_binary(kind) or pt.is_large_binary(kind) or _is_view(kind)
    )  # fmt: skip


def _is_view(kind: pa.DataType) -> bool:
    return pt.is_string_view(kind) or pt.is_binary_view(kind)


def _array(batch: pa.RecordBatch, column: Column) -> pa.Array:
    """A column of ours, checked: nothing of it reaches outside its buffers."""
    array = batch.column(column.index)
    array.validate()
    for name in column.way:
        array = pc.struct_field(array, [name])
    if isinstance(array, pa.ExtensionArray):
        named = array.type.extension_name
        array = array.storage
        if named == "arrow.uuid":
            return pa.array([value and str(UUID(bytes=value)) for value in array.to_pylist()])
    if pt.is_run_end_encoded(array.type):
        array = _run_values(array)
    if pt.is_dictionary(array.type):
        array.indices.validate(full=True)
        _as_bytes(array.dictionary).validate(full=True)
        values = array.dictionary
        values = clock(values, column.ours) if pt.is_timestamp(values.type) else values
        # Raises where an index has no value.
        return pa.DictionaryArray.from_arrays(array.indices, values)
    if pt.is_date64(array.type):
        array = array.view(pa.timestamp("ms"))  # JavaScript's and older writers' have times of day
    _as_bytes(array).validate(full=True)
    if pt.is_timestamp(array.type):
        return clock(array, column.ours)
    written = pt.is_date(array.type) or pt.is_time(array.type)
    return array.cast(pa.string()) if written else array


def _run_values(array: pa.RunEndEncodedArray) -> pa.DictionaryArray | pa.Array:
    """Runs as indices into their values, which are not written out."""
    values, ends = array.values, np.asarray(array.run_ends)
    array.run_ends.validate(full=True)
    values.validate()
    places = np.searchsorted(ends, np.arange(array.offset, array.offset + len(array)), "right")
    if len(ends) and (np.any(np.diff(ends) <= 0) or places.max(initial=0) >= len(values)):
        raise ValueError("the runs of a column do not fit its values")
    indices = pa.array(places.astype(np.int32))
    if pt.is_dictionary(values.type):
        return values.take(indices)
    return (
        pa.DictionaryArray.from_arrays(indices, values)
        if _is_text(values.type)
        else (values.take(indices))
    )


def _as_bytes(array: pa.Array) -> pa.Array:
    """The same without a claim to be UTF-8, which is checked row by row."""
    if pt.is_string_view(array.type):
        return array.view(pa.binary_view())
    types = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
    kind = types.get(array.type)
    if kind is None:
        return array
    return pa.Array.from_buffers(kind, len(array), array.buffers(), -1, array.offset)


def _lengths(array: pa.Array) -> list[int | None]:
    """Bytes of each text; nothing for other types."""
    if pt.is_dictionary(array.type) and _is_text(array.type.value_type):
        return _byte_lengths(array.dictionary).take(array.indices).to_pylist()
    return _byte_lengths(array).to_pylist() if _is_text(array.type) else []


def _take(array: pa.Array, places: pa.Array) -> pa.Array:
    """Values at some places, few at a time; of views pyarrow takes none."""
    if not _is_view(array.type):
        return array.take(places)
    values = _as_bytes(array)
    found = [None if at is None else values[at].as_py() for at in places.to_pylist()]
    return pa.array(found, pa.large_binary())


def _byte_lengths(array: pa.Array) -> pa.Array:
    if not _is_view(array.type):
        return pc.binary_length(_as_bytes(array))
    # A view begins with its length; it and a place, or the text itself, take 16 bytes.
    views = np.frombuffer(array.buffers()[1] or b"", np.int32).reshape(-1, 4)
    lengths = views[array.offset : array.offset + len(array), 0]
    return pa.array(lengths, mask=np.asarray(array.is_null()))


def _values(ours: str, array: pa.Array, bad: dict[int, tuple[str, str]]) -> list[Any]:
    """The values of a column; where one cannot be had, its row is noted in `bad`."""
    if pt.is_dictionary(array.type):
        return _dictionary_values(ours, array, bad)
    try:
        values = array.to_pylist()
        if pt.is_string(array.type) or pt.is_large_string(array.type):
            return values
        if ours == "id" and values and any(isinstance(value, bytes) for value in values):
            return [None if value is None else _identifier(value) for value in values]
        return [_plain(value) for value in values]
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        return [_value(ours, array, at, bad) for at in range(len(array))]


def _dictionary_values(
    ours: str, array: pa.DictionaryArray, bad: dict[int, tuple[str, str]]
) -> list[Any]:
    """One object for all rows with the same value."""
    used = array.indices.unique().drop_null()
    wrong: dict[int, tuple[str, str]] = {}
    values = _values(ours, _take(array.dictionary, used), wrong)
    by_index = dict(zip(used.to_pylist(), range(len(values)), strict=True))
    places = [by_index.get(index) for index in array.indices.to_pylist()]
    for at, place in enumerate(places if wrong else ()):
        if place in wrong:
            bad.setdefault(at, wrong[place])
    return [None if place is None else values[place] for place in places]


def _value(ours: str, array: pa.Array, at: int, bad: dict[int, tuple[str, str]]) -> Any:
    try:
        return _plain(array[at].as_py())
    except UnicodeDecodeError as error:
        reason, detail = "invalid_utf8", f"{ours}: byte {error.start}: {error.reason}"
    except (ValueError, OverflowError, pa.ArrowException) as error:
        reason, detail = "wrong_type", f"{ours}: {one_line(error)}"
    if ours == "date" and reason == "wrong_type":
        # A length of time, a zone that nobody knows inside a list: counted as what cannot be read.
        return f"of type {array.type}"
    if ours.startswith(EXTRA):
        # It costs the document its value alone, which is counted as one that cannot be used.
        return {}
    bad.setdefault(at, (reason, detail))
    return None


def _plain(value: Any) -> Any:
    """A value in JSON's types."""
    if isinstance(value, float):
        # What pandas writes for a missing value, and for a whole number in a column with some.
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return str(int(value)) if value == value.to_integral_value() else str(value)
    return f"{kind_of(value)}: {value}"[:300]


def _identifier(value: bytes) -> str:
    """Bytes that are no text, as those of a hash, in hex."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()
