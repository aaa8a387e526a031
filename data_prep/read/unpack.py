"""Plain, gzip and zstd data as one stream of bytes, with bounded memory whatever the data hold.

1. The first bytes, not the name, decide the compression.
2. Blocks are decompressed in small steps, so that a file made to explode cannot fill the memory.
3. A file that expands beyond the limit is a decompression bomb, and not read on.
"""

from collections.abc import Iterator
from typing import Protocol

import zstandard
from isal import isal_zlib

from data_prep.config import Limits
from data_prep.read.record import DamagedError
from data_prep.read.storage import ByteSource

# zstd can blow 4 bytes up to 128 KiB: 1 KiB at a time keeps the worst step below 32 MiB. Larger
# steps were measured to save 10% of zstd's time, which is not worth it.
ZSTD_STEP_BYTES = 1 << 10
ZSTD_BLOCK_BYTES = 1 << 17
# A step that fails takes its output with it, so that at most so much before the damage is lost;
# steps of 1 MiB were measured to save 3% of gzip's time.
GZIP_STEP_BYTES = 1 << 14
FREE_BYTES = 64 << 20
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Frames that say how zstd files are to be sought in: 0x184D2A50 to 0x184D2A5F.
_ZSTD_SKIPPED = tuple(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60))

# The frame in which web archives carry the dictionary of those that follow.
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_LONGEST_DICTIONARY = 16 << 20


class Unpacked:
    """The bytes of a file after decompression. All that reads raises DamagedError or UserError.

    compression: `gzip`, `zstd` or empty. text_bytes: given out so far, and looked at.
    """

    def __init__(self, source: ByteSource, limits: Limits):
        self.compression = compression_of(source.peek())
        self.text_bytes = 0
        self._source = source
        self._expansion = limits.expansion
        self._blocks = self._unpack()
        self._held = memoryview(b"")
        self._failure: DamagedError | None = None

    def blocks(self) -> Iterator[bytes]:
        """All that is left, in pieces of at most 32 MiB."""
        if self._held:
            held, self._held = bytes(self._held), memoryview(b"")
            yield held
        yield from iter(self._next, b"")

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer before the end or damage, without taking them."""
        if len(self._held) >= size:
            return bytes(self._held[:size])
        pieces, missing = [bytes(self._held)], size - len(self._held)
        try:
            while missing > 0 and (block := self._next()):
                pieces.append(block)
                missing -= len(block)
        except DamagedError:
            pass  # raised again by whoever reads on to there
        held = b"".join(pieces)
        self._held = memoryview(held)
        return held[:size]

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end."""
        if len(self._held) >= size:
            data, self._held = self._held[:size], self._held[size:]
            return bytes(data)
        pieces, missing = [bytes(self._held)], size - len(self._held)
        self._held = memoryview(b"")
        while missing and (block := self._next()):
            if len(block) > missing:
                self._held = memoryview(block)[missing:]
                block = block[:missing]
            pieces.append(block)
            missing -= len(block)
        return b"".join(pieces)

    def skip(self, size: int) -> int:
        """Pass over `size` bytes; how many there were."""
        missing = size
        while missing:
            held = self._held or memoryview(self._next())
            if not held:
                break
            passed = min(missing, len(held))
            self._held = held[passed:]
            missing -= passed
        return size - missing

    def _next(self) -> bytes:
        if self._failure:
            raise self._failure
        try:
            return next(self._blocks, b"")
        except DamagedError as failure:
            self._failure = failure
            raise

    def _unpack(self) -> Iterator[bytes]:
        source = self._source
        blocks = _members(source) if self.compression else iter(source.read, b"")
        for block in blocks:
            self.text_bytes += len(block)
            if self.text_bytes > FREE_BYTES + self._expansion * source.bytes_read:
                raise DamagedError(
                    "decompression_bomb",
                    f"{source.bytes_read} bytes expand to more than limits.expansion="
                    f"{self._expansion} times as many",
                )
            yield block


def compression_of(head: bytes) -> str:
    """`gzip`, `zstd` or empty, by the first bytes of data."""
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    return "zstd" if head.startswith((ZSTD_MAGIC, *_ZSTD_SKIPPED)) else ""


def _members(source: ByteSource) -> Iterator[bytes]:
    """The content of gzip members or zstd frames, one after another."""
    data = source.read()
    words = None
    while data:
        while len(data) < len(ZSTD_MAGIC) and (more := source.read()):
            data += more
        kind = compression_of(data)
        if not kind:
            raise DamagedError("damaged_file", "behind compressed data stand others")
        if data.startswith(_DICTIONARY):
            words, data = _dictionary(data, source)
            continue
        member: _Member = _GzipMember() if kind == "gzip" else _ZstdFrame(words)
        while not member.eof:
            if not data and not (data := source.read()):
                raise DamagedError("truncated_file", "the compressed data end too early")
            yield from member.feed(data)
            data = member.rest
        # gzip files may be padded with zeros after their last member.
        data = data.lstrip(b"\0")
        while not data and (data := source.read()):
            data = data.lstrip(b"\0")


def _dictionary(data: bytes, source: ByteSource) -> tuple[zstandard.ZstdCompressionDict, bytes]:
    """The dictionary with which all further frames are compressed, and what stands behind it.

    It may itself be compressed (iipc.github.io/warc-specifications, WARC with Zstandard).
    """
    while len(data) < 8 and (more := source.read()):
        data += more
    size = 8 + int.from_bytes(data[4:8], "little")
    while size <= _LONGEST_DICTIONARY and len(data) < size and (more := source.read()):
        data += more
    if size > _LONGEST_DICTIONARY or len(data) < size:
        raise DamagedError("damaged_file", f"a dictionary of {size} bytes")
    words = data[8:size]
    if words.startswith(ZSTD_MAGIC):
        try:
            words = zstandard.ZstdDecompressor().stream_reader(words).read(_LONGEST_DICTIONARY)
        except zstandard.ZstdError as error:
            raise DamagedError("damaged_file", f"its dictionary: {error}") from None
    return zstandard.ZstdCompressionDict(words), data[size:] or source.read()


class _Member(Protocol):
    """One gzip member or zstd frame: `rest` is what `feed` was given beyond its end."""

    eof: bool
    rest: bytes

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _GzipMember:
    def __init__(self) -> None:
        self._decoder = isal_zlib.decompressobj(wbits=31)
        self.eof = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self.rest = b""
        for start in range(0, len(data), GZIP_STEP_BYTES):
            piece = data[start : start + GZIP_STEP_BYTES]
            full = False  # of what one step may give: the decoder may hold more of it
            while piece or full:
                try:
                    text = self._decoder.decompress(piece, GZIP_STEP_BYTES)
                except isal_zlib.error as error:
                    raise DamagedError("damaged_file", f"gzip: {error}") from None
                if text:
                    yield text
                full = len(text) == GZIP_STEP_BYTES
                piece = self._decoder.unconsumed_tail
            if self._decoder.eof:
                self.eof = True
                self.rest = self._decoder.unused_data + data[start + GZIP_STEP_BYTES :]
                return


class _ZstdFrame:
    def __init__(self, words: zstandard.ZstdCompressionDict | None) -> None:
        self._decoder = zstandard.ZstdDecompressor(dict_data=words).decompressobj()
        self.eof = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        self.rest = b""
        texts: list[bytes] = []
        size = 0
        failure = None
        for start in range(0, len(data), ZSTD_STEP_BYTES):
            end = start + ZSTD_STEP_BYTES
            try:
                text = self._decoder.decompress(data[start:end])
            except zstandard.ZstdError as error:
                failure = _of_zstd(error)
                break
            texts.append(text)
            size += len(text)
            if size > ZSTD_BLOCK_BYTES:
                yield b"".join(texts)
                texts, size = [], 0
            if self._decoder.eof:
                self.eof = True
                self.rest = self._decoder.unused_data + data[end:]
                break
        if size:
            yield b"".join(texts)
        if failure is not None:
            raise failure


def _of_zstd(error: zstandard.ZstdError) -> DamagedError:
    if "too much memory" in str(error):  # of --long=31, which others read with the same option
        mend = "zstd -d --long=31 FILE.zst, then compress it without --long"
        return DamagedError("unknown_format", f"zstd with a window over 128 MiB: {mend}")
    return DamagedError("damaged_file", str(error))
