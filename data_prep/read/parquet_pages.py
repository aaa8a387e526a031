"""What the pages of a Parquet row group will take in memory, by their headers, before it is read.

A reader allocates what a page's header declares, and the footer need not tell the truth of it.
Format: parquet.thrift of apache/parquet-format, in Thrift's compact protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from data_prep.config import Limits
from data_prep.read.record import DamagedError
from data_prep.read.unpack import FREE_BYTES

MAX_PAGE_BYTES = 1 << 30
_HEADER_BYTES, _MAX_HEADER_BYTES = 1 << 10, 1 << 22
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_DELTA_BYTE_ARRAY = 7


@dataclass(frozen=True, slots=True)
class Page:
    """A page. expanded: bytes after decompression. longest: bytes that one value may have."""

    size: int
    expanded: int
    values: int
    longest: float


def largest_value(file: BinaryIO, column: Any, limits: Limits) -> float:
    """Bytes of a value of a column chunk: the most, or the mean of a page where it says no more.

    Raises DamagedError where a page would expand beyond the limits, or has no proper header.
    """
    most = 0.0
    for page in _pages(file, column):
        if page.expanded > min(FREE_BYTES + limits.expansion * page.size, MAX_PAGE_BYTES):
            raise DamagedError(
                "decompression_bomb", f"a page of {page.size} bytes expands to {page.expanded}"
            )
        most = max(most, page.longest)
    return most


def _pages(file: BinaryIO, column: Any) -> Iterator[Page]:
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    end = start + column.total_compressed_size
    if start < 4 or end < start:
        raise DamagedError("damaged_file", "a column chunk stands outside the file")
    while start < end:
        header, length = _header(file, start, end)
        size, expanded, kind = header.get(3), header.get(2), header.get(1)
        if not all(isinstance(n, int) and n >= 0 for n in (size, expanded, kind)):
            raise DamagedError("damaged_file", "a page without its sizes")
        inner = header.get({_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 0), {})
        values = inner.get(1, 0) if isinstance(inner, dict) else 0
        encoding = inner.get(4 if kind == _DATA_V2 else 2) if isinstance(inner, dict) else None
        # A dictionary's value, or one that continues the value before it, may be all of its page.
        whole = kind == _DICTIONARY or encoding == _DELTA_BYTE_ARRAY or values < 1
        yield Page(size, expanded, values, expanded if whole else expanded / values)
        start += length + size


def _header(file: BinaryIO, start: int, end: int) -> tuple[dict[int, Any], int]:
    size = _HEADER_BYTES
    while True:
        file.seek(start)
        data = file.read(min(size, end - start))
        try:
            reader = _Compact(data)
            return reader.struct(), reader.at
        except (IndexError, RecursionError):
            if len(data) < size or size >= _MAX_HEADER_BYTES:
                raise DamagedError("damaged_file", "a page without a proper header") from None
            size = _MAX_HEADER_BYTES


class _Compact:
    """Reads Thrift's compact protocol; IndexError where the data end or make no sense."""

    def __init__(self, data: bytes):
        self.at = 0
        self._data = data

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Fields by number. Only integers and structs have a value; the others are None."""
        if depth > 8:
            raise IndexError
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            number = number + delta if delta else self._integer()
            fields[number] = self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return None
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._varint())
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            for _ in range(count):
                self._skip(1) if head & 15 in (1, 2) else self._value(head & 15, depth + 1)
            return None
        if kind == 12:
            return self.struct(depth + 1)
        raise IndexError

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise IndexError

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
