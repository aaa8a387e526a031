"""Lines of plain, gzip and zstd files, with bounded memory whatever the file holds.

1. The first bytes, not the name, decide the compression.
2. Blocks are decompressed in small steps, so that a file made to explode cannot fill the memory.
3. Lines over the limit are skipped as they stream by; only their first bytes are kept.
4. A file that ends too early or turns to garbage gives its lines up to there, then one `Damage`.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash
import zstandard

from geo_nemo.config.errors import UserError

READ_BYTES = 1 << 18
# zstd can blow 4 bytes up to 128 KiB: 1 KiB at a time keeps the worst step below 32 MiB.
ZSTD_STEP_BYTES = 1 << 10
GZIP_STEP_BYTES = 1 << 20
HEAD_BYTES = 1 << 10
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. `too_long` is its length where only its first bytes are here."""

    number: int
    data: bytes
    too_long: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """Why nothing more could be read; `number` is the line where it happened."""

    number: int
    reason: str
    detail: str


class _DamagedError(Exception):
    """Compressed data that ends too early, or is no such data."""


class LineReader:
    """The lines of one file. After iteration `bytes_read` and `digest` tell what was read.

    bytes_read: bytes of the file itself.
    text_bytes: bytes after decompression.
    """

    def __init__(self, path: Path, max_line_bytes: int):
        self.path = path
        self.max_line_bytes = max_line_bytes
        self.bytes_read = 0
        self.text_bytes = 0
        self._hash = xxhash.xxh3_128()

    @property
    def digest(self) -> str:
        """xxh3-128 of the bytes read, in hex."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[Line | Damage]:
        try:
            with self.path.open("rb") as file:
                yield from self._lines(file)
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror or error}") from None

    def _lines(self, file: BinaryIO) -> Iterator[Line | Damage]:
        number = 0
        # Bytes of the line that is not over yet; `skipped` counts those no longer kept of it.
        parts: list[bytes] = []
        held = skipped = 0
        try:
            for block in self._blocks(file):
                self.text_bytes += len(block)
                *ended, rest = block.split(b"\n")
                for piece in ended:
                    number += 1
                    if parts or skipped:
                        parts.append(piece)
                        piece = b"".join(parts)
                        parts = []
                        held = 0
                    yield self._line(number, piece, skipped)
                    skipped = 0
                if skipped:
                    skipped += len(rest)
                elif rest:
                    parts.append(rest)
                    held += len(rest)
                    if held > self.max_line_bytes:
                        head = b"".join(parts)[:HEAD_BYTES]
                        skipped, parts, held = held - len(head), [head], 0
        except _DamagedError as damage:
            reason, detail = damage.args
            yield Damage(number + 1, reason, detail)
            return
        if parts:
            yield self._line(number + 1, b"".join(parts), skipped)
        if not self.text_bytes:
            yield Damage(0, "empty_file", "the file holds nothing")

    def _line(self, number: int, data: bytes, skipped: int) -> Line:
        if number == 1:
            data = data.removeprefix(BYTE_ORDER_MARK)
        if skipped or len(data) > self.max_line_bytes:
            return Line(number, data[:HEAD_BYTES], skipped + len(data))
        return Line(number, data)

    def _blocks(self, file: BinaryIO) -> Iterator[bytes]:
        start = self._read(file)
        if start.startswith(GZIP_MAGIC):
            yield from self._members(file, start, _GzipMember)
        elif start.startswith(ZSTD_MAGIC):
            yield from self._members(file, start, _ZstdFrame)
        else:
            while start:
                yield start
                start = self._read(file)

    def _members(
        self, file: BinaryIO, data: bytes, member_type: "type[_Member]"
    ) -> Iterator[bytes]:
        """The text of gzip members or zstd frames, one after another."""
        while data:
            member = member_type()
            while not member.eof:
                if not data and not (data := self._read(file)):
                    raise _DamagedError("truncated_file", "the compressed data end too early")
                yield from member.feed(data)
                data = member.rest
            # gzip files may be padded with zeros after their last member.
            data = data.lstrip(b"\0") or self._read(file).lstrip(b"\0")

    def _read(self, file: BinaryIO) -> bytes:
        data = file.read(READ_BYTES)
        self.bytes_read += len(data)
        self._hash.update(data)
        return data


class _Member(Protocol):
    """One gzip member or zstd frame: `rest` is what `feed` was given beyond its end."""

    eof: bool
    rest: bytes

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _GzipMember:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)
        self.eof = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            try:
                text = self._decoder.decompress(data, GZIP_STEP_BYTES)
            except zlib.error as error:
                raise _DamagedError("damaged_file", f"gzip: {error}") from None
            if text:
                yield text
            self.eof = self._decoder.eof
            data = self._decoder.unconsumed_tail
        self.rest = self._decoder.unused_data


class _ZstdFrame:
    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor().decompressobj()
        self.eof = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_STEP_BYTES):
            end = start + ZSTD_STEP_BYTES
            try:
                text = self._decoder.decompress(data[start:end])
            except zstandard.ZstdError as error:
                raise _DamagedError("damaged_file", str(error)) from None
            if text:
                yield text
            if self._decoder.eof:
                self.eof = True
                self.rest = self._decoder.unused_data + data[end:]
                return
        self.rest = b""
