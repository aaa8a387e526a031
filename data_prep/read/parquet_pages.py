"""What the pages of a Parquet row group will take in memory, by their headers, before it is read.

A reader allocates what a page's header declares, and the footer need not tell the truth of it.
Format: parquet.thrift of apache/parquet-format, in Thrift's compact protocol.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from data_prep.config import Limits
from data_prep.read.parquet_footer import Chunk
from data_prep.read.record import DamagedError
from data_prep.read.thrift import Compact
from data_prep.read.unpack import FREE_BYTES

MAX_PAGE_BYTES = 1 << 30
_HEADER_BYTES, _MAX_HEADER_BYTES = 1 << 10, 1 << 22
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_DELTA_BYTE_ARRAY = 7
# Parquet's Java writers up to 1.2.8, and Impala's of their time, leave the header of a dictionary
# out of a chunk's size; pyarrow reads so much more.
_NOT_COUNTED = 100
# The field that holds what is particular to a kind of page.
_INNER = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}


@dataclass(frozen=True, slots=True)
class Page:
    """A page. expanded: bytes after decompression.

    mean: of the bytes of its values. longest: bytes that one of them may have wherever it is used,
    as far as that is more than once.
    """

    size: int
    expanded: int
    mean: float
    longest: float


def value_bytes(file: BinaryIO, chunk: Chunk, limits: Limits) -> tuple[float, float]:
    """(largest mean of a page, most that one value may take again and again) of a column chunk.

    Raises DamagedError where a page would expand beyond the limits, or has no proper header.
    """
    mean = longest = 0.0
    for page in _pages(file, chunk):
        if page.expanded > min(FREE_BYTES + limits.expansion * page.size, MAX_PAGE_BYTES):
            raise DamagedError(
                "decompression_bomb", f"a page of {page.size} bytes expands to {page.expanded}"
            )
        mean, longest = max(mean, page.mean), max(longest, page.longest)
    return mean, longest


def _pages(file: BinaryIO, chunk: Chunk) -> Iterator[Page]:
    if chunk.encrypted:
        mend = "write it without encryption"
        raise DamagedError("unknown_format", f"column {chunk.path!r} is encrypted: {mend}")
    start, end = chunk.start, chunk.start + chunk.size
    if start < 4 or end < start:
        raise DamagedError("damaged_file", "a column chunk stands outside the file")
    while start < end:
        header, length = _header(file, start, end + _NOT_COUNTED)
        size, expanded, kind = header.get(3), header.get(2), header.get(1)
        inner = header.get(_INNER.get(kind, 0), {}) if isinstance(kind, int) else None
        values = inner.get(1, 0) if isinstance(inner, dict) else None
        if not all(isinstance(n, int) and n >= 0 for n in (size, expanded, kind, values)):
            raise DamagedError("damaged_file", "a page without its sizes")
        if start + length + size > end + _NOT_COUNTED:
            raise DamagedError("damaged_file", "a page reaches out of its column chunk")
        encoding = inner.get(4 if kind == _DATA_V2 else 2)
        # A dictionary's value, or one that continues the value before it, may be all of its page.
        whole = kind == _DICTIONARY or encoding == _DELTA_BYTE_ARRAY
        mean = expanded / max(values, 1)
        yield Page(size, expanded, mean, expanded if whole else mean)
        start += length + size


def _header(file: BinaryIO, start: int, end: int) -> tuple[dict[int, Any], int]:
    size = _HEADER_BYTES
    while True:
        file.seek(start)
        data = file.read(min(size, end - start))
        try:
            reader = Compact(data)
            return reader.struct(), reader.at
        except (IndexError, RecursionError):
            if len(data) < size or size >= _MAX_HEADER_BYTES:
                raise DamagedError("damaged_file", "a page without a proper header") from None
            size = _MAX_HEADER_BYTES
