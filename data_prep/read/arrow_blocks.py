"""The messages of an Arrow IPC file in the order of its footer, as a stream would have them.

Writers may leave other bytes between messages, and none of a stream's marks before the first one.
Format: Footer and Block in File.fbs of apache/arrow.
"""

import struct
from typing import BinaryIO

import pyarrow as pa

from data_prep.read.columns import refused
from data_prep.read.record import DamagedError

MAX_FOOTER_BYTES = 64 << 20
MAX_BATCH_BYTES = 1 << 30
_TAIL = b"ARROW1"
_CONTINUED = b"\xff\xff\xff\xff"


class Blocks:
    """Read by `read` alone: the schema, then each block of the footer, dictionaries first."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._blocks = iter(_blocks(file))
        self._held = memoryview(_schema(file))

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end."""
        pieces = []
        while size and (self._held or self._next()):
            piece, self._held = self._held[:size], self._held[size:]
            pieces.append(bytes(piece))
            size -= len(piece)
        return b"".join(pieces)

    def _next(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            return False
        start, length = block
        self._file.seek(start)
        data = self._file.read(length)
        if len(data) < length:
            raise DamagedError("truncated_file", "the file ends inside a batch")
        self._held = memoryview(data)
        return True


def too_large(body: int) -> DamagedError:
    """What a writer may do who put all rows into one batch; the rest of the file is lost."""
    detail = f"a batch of {body} bytes, over {MAX_BATCH_BYTES}: write it as Parquet, or in batches"
    return DamagedError("unknown_format", f"{detail} of fewer rows")


def _schema(file: BinaryIO) -> bytes:
    try:
        return pa.ipc.open_file(pa.PythonFile(file, mode="r")).schema.serialize().to_pybytes()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise refused(error) from None


def _blocks(file: BinaryIO) -> list[tuple[int, int]]:
    """Start and length of each message that the footer lists."""
    size = file.seek(0, 2)
    file.seek(max(size - 10, 0))
    tail = file.read(10)
    length = int.from_bytes(tail[:4], "little", signed=True)
    if tail[4:] != _TAIL or not 0 < length <= min(size - 18, MAX_FOOTER_BYTES):
        raise DamagedError("truncated_file", "the footer of an Arrow file is missing")
    start = size - 10 - length
    file.seek(start)
    footer = file.read(length)
    try:
        listed = [block for field in (2, 3) for block in _vector(footer, field)]
    except (struct.error, IndexError):
        raise DamagedError("damaged_file", "a footer without proper blocks") from None
    for at, metadata, body in listed:
        if min(at, metadata) <= 0 or body < 0 or at + metadata + body > start:
            raise DamagedError("damaged_file", "a batch stands outside the file")
        if body > MAX_BATCH_BYTES:
            raise too_large(body)
    return [(at, metadata + body) for at, metadata, body in listed]


def _vector(footer: bytes, field: int) -> list[tuple[int, int, int]]:
    """Blocks of a field of the footer's table: start, bytes of metadata, bytes of the body."""
    root = struct.unpack_from("<I", footer)[0]
    table = root - struct.unpack_from("<i", footer, root)[0]
    if table < 0 or struct.unpack_from("<H", footer, table)[0] < 6 + 2 * field:
        return []
    offset = struct.unpack_from("<H", footer, table + 4 + 2 * field)[0]
    if not offset:
        return []
    at = root + offset
    at += struct.unpack_from("<I", footer, at)[0]
    count = struct.unpack_from("<I", footer, at)[0]
    if count * 24 > len(footer):
        raise IndexError
    return [struct.unpack_from("<qi4xq", footer, at + 4 + 24 * n) for n in range(count)]
