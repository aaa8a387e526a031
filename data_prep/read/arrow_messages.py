"""The messages of an Arrow IPC stream, each looked at before pyarrow may read it.

A file of the IPC format is as a rule a stream with eight bytes before it and a footer behind, so
both are read in one way, from the start; a file whose end is missing gives its batches up to there.
Where the bytes are no stream, as in files of Polars, its footer tells where its messages are.
Format: Message.fbs of apache/arrow, in FlatBuffers.
"""

import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from data_prep.config import Limits
from data_prep.read.arrow_blocks import MAX_BATCH_BYTES, Blocks, too_large
from data_prep.read.record import DamagedError
from data_prep.read.unpack import FREE_BYTES, Unpacked

MAX_METADATA_BYTES = 64 << 20
_FILE_MAGIC = b"ARROW1\0\0"
_CONTINUED = b"\xff\xff\xff\xff"
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


def _may_be_length(ahead: bytes) -> bool:
    """Whether a message of before Arrow 0.15 begins so: its length, then a FlatBuffer's root."""
    length, root = struct.unpack("<II", ahead) if len(ahead) == 8 else (0, 0)
    return length % 8 == 0 and 4 <= root < length <= MAX_METADATA_BYTES


class Messages:
    """A stream to read from, as pyarrow's PythonFile wants it; DamagedError for what is unsafe.

    seekable: gives the file itself, for one that must be read by its footer; None where it is
    packed.
    """

    closed = False

    def __init__(
        self, stream: Unpacked, limits: Limits, seekable: Callable[[], BinaryIO] | None = None
    ):
        self._stream: Unpacked | Blocks = stream
        self._expansion = limits.expansion
        self._pending = memoryview(b"")
        self._ended = False
        self._in_file = stream.peek(8) == _FILE_MAGIC
        if self._in_file:
            stream.skip(8)
            ahead = stream.peek(8)
            if ahead[:4] != _CONTINUED and not _may_be_length(ahead):
                if seekable is None:
                    raise DamagedError(
                        "damaged_file", "its messages are found by its footer alone: unpack it"
                    )
                self._stream = Blocks(seekable())
        self.failure: DamagedError | None = None

    def first(self) -> bytes:
        """The first message, the schema, without taking it."""
        self._advance()
        return bytes(self._pending)

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the message at hand, or of the next one."""
        try:
            if not self._pending and not self._ended:
                self._advance()
        except DamagedError as failure:
            # pyarrow may wrap it.
            self.failure = failure
            raise
        data, self._pending = self._pending[:size], self._pending[size:]
        return bytes(data)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._pending = memoryview(b"")

    def check_end(self) -> None:
        """DamagedError where something stands behind the end of a stream."""
        if not self._in_file and self._stream.read(1):
            raise DamagedError("damaged_file", "data behind the end of the stream are not read")

    def _advance(self) -> None:
        prefix = self._stream.read(4)
        if prefix == _CONTINUED:
            prefix += self._take(4)
        length = int.from_bytes(prefix[-4:], "little", signed=True)
        if not prefix and self._in_file and isinstance(self._stream, Unpacked):
            raise DamagedError("truncated_file", "the file ends before its footer")
        if not prefix or length == 0:
            # A stream may end without saying so; a file has a footer behind the sign.
            self._pending, self._ended = memoryview(prefix), True
            return
        if not 0 < length <= MAX_METADATA_BYTES:
            raise DamagedError("damaged_file", f"a message with {length} bytes of metadata")
        metadata = self._take(length)
        try:
            body_bytes, expanded_at = _look_at(metadata)
        except (struct.error, IndexError, ValueError):
            raise DamagedError("damaged_file", "a message without proper metadata") from None
        if body_bytes < 0:
            raise DamagedError("damaged_file", f"a batch of {body_bytes} bytes")
        if body_bytes > MAX_BATCH_BYTES:
            raise too_large(body_bytes)
        body = self._take(body_bytes)
        self._check_expansion(body, expanded_at)
        self._pending = memoryview(prefix + metadata + body)

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise DamagedError("truncated_file", "the stream ends inside a message")
        return data

    def _check_expansion(self, body: bytes, starts: list[int]) -> None:
        """Compressed buffers say first what they expand to; -1: as they are."""
        total = sum(int.from_bytes(body[at : at + 8], "little", signed=True) for at in starts)
        if total > min(FREE_BYTES + self._expansion * len(body), MAX_BATCH_BYTES):
            raise DamagedError(
                "decompression_bomb", f"a batch of {len(body)} bytes expands to {total}"
            )


def _look_at(metadata: bytes) -> tuple[int, list[int]]:
    """Bytes of the body, and where in it the compressed buffers start."""
    message = _Table(metadata, struct.unpack_from("<I", metadata)[0])
    kind, body_bytes = message.number(1, "<B"), message.number(3, "<q")
    batch = message.table(2)
    if kind == _DICTIONARY_BATCH and batch is not None:
        batch = batch.table(1)
    elif kind != _RECORD_BATCH:
        batch = None
    if batch is None or batch.table(3) is None:
        return body_bytes, []
    return body_bytes, [
        start for start, length in batch.pairs(2) if length >= 8 and 0 <= start <= body_bytes - 8
    ]


class _Table:
    """A table of FlatBuffers; struct.error where it reaches outside its buffer."""

    def __init__(self, data: bytes, at: int):
        self._data = data
        self._at = at
        table = at - self._unpack("<i", at)
        self._fields = [
            self._unpack("<H", table + 4 + 2 * n)
            for n in range((self._unpack("<H", table) - 4) // 2)
        ]
        self._fields += [0] * 8

    def number(self, field: int, form: str) -> int:
        offset = self._fields[field]
        return self._unpack(form, self._at + offset) if offset else 0

    def table(self, field: int) -> "_Table | None":
        start = self._start(field)
        return None if start is None else _Table(self._data, start)

    def pairs(self, field: int) -> list[Any]:
        """A vector of structs of two 64-bit numbers."""
        start = self._start(field)
        if start is None:
            return []
        count = self._unpack("<I", start)
        if count * 16 > len(self._data):
            raise ValueError
        return [struct.unpack_from("<qq", self._data, start + 4 + 16 * n) for n in range(count)]

    def _start(self, field: int) -> int | None:
        offset = self._fields[field]
        if not offset:
            return None
        at = self._at + offset
        return at + self._unpack("<I", at)

    def _unpack(self, form: str, at: int) -> int:
        if at < 0:
            raise IndexError
        return struct.unpack_from(form, self._data, at)[0]
