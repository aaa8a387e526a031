"""Where the row groups of a Parquet file and their columns are, by its footer.

pyarrow tells the same, but ends the whole process (std::terminate, in 26.0.1) when it is asked for
the metadata of a column whose size statistics do not fit its schema, as a damaged footer may say.
Format: FileMetaData in parquet.thrift of apache/parquet-format.
"""

from dataclasses import dataclass
from typing import Any, BinaryIO

from data_prep.read.record import DamagedError
from data_prep.read.thrift import Compact

MAX_FOOTER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group. path: its way in the schema. start, size: of its pages, in bytes."""

    path: str
    start: int
    size: int
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A row group. size: bytes of its pages, compressed."""

    rows: int
    size: int
    chunks: list[Chunk]


def read_groups(file: BinaryIO, size: int) -> list[Group]:
    """The row groups of a file of `size` bytes. DamagedError where it has no proper footer."""
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    if tail[4:] == b"PARE":
        mend = "write it without encryption"
        raise DamagedError("unknown_format", f"an encrypted Parquet file: {mend}")
    if tail[4:] != b"PAR1":
        raise DamagedError("truncated_file", "the footer of a Parquet file is missing")
    length = int.from_bytes(tail[:4], "little")
    if length > min(size - 12, MAX_FOOTER_BYTES):
        raise DamagedError("damaged_file", f"a footer of {length} bytes")
    file.seek(size - 8 - length)
    try:
        return Compact(file.read(length)).struct(each={4: _group})[4]
    except (IndexError, KeyError, AttributeError, TypeError, UnicodeDecodeError):
        raise DamagedError("damaged_file", "a footer without proper row groups") from None


def _group(group: dict[int, Any]) -> Group:
    chunks = [_chunk(chunk[3], encrypted=8 in chunk) for chunk in group[1]]
    return Group(_count(group[3]), sum(chunk.size for chunk in chunks), chunks)


def _chunk(about: dict[int, Any], encrypted: bool) -> Chunk:
    start, dictionary = _count(about[9]), _count(about.get(11, 0))
    if 0 < dictionary < start:
        start = dictionary
    return Chunk(".".join(name.decode() for name in about[3]), start, _count(about[7]), encrypted)


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value
