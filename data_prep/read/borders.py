"""Where the records of a file begin, found from a place in its middle."""

import re
from collections.abc import Callable

from isal import isal_zlib

# Gives so many bytes from a place on, fewer at the end: (size, place).
ReadAt = Callable[[int, int], bytes]
CHUNK_BYTES = 1 << 20
_LONGEST_START = 64
_RECORD = re.compile(rb"(?:^|\n\r?\n)(WARC/[01]\.\d{1,2}[ \t]*\r?\n(?:WARC-|Content-))")
_MEMBER = re.compile(rb"\x1f\x8b\x08")


def borders(read_at: ReadAt, size: int, piece: tuple[str, int, int]) -> tuple[int, int]:
    """Where the first record of a piece begins, and the first behind it. Raises OSError."""
    kind, start, stop = piece
    find = FINDERS[kind]
    return (find(read_at, start, size), find(read_at, stop, size))


def _line(read_at: ReadAt, at: int, size: int) -> int:
    """The first line's start from `at` on."""
    if at <= 0:
        return 0
    place = at - 1
    while place < size and (chunk := read_at(CHUNK_BYTES, place)):
        found = chunk.find(b"\n")
        if found >= 0:
            return place + found + 1
        place += len(chunk)
    return size


def _found(pattern: re.Pattern[bytes], proves: Callable[[ReadAt, int], bool] | None = None):
    """A finder of the first match from a place on, whose start is that of its last group."""

    def find(read_at: ReadAt, at: int, size: int) -> int:
        if at <= 0:
            return 0
        place = max(at - _LONGEST_START, 0)
        while place < size and (chunk := read_at(CHUNK_BYTES, place)):
            for match in pattern.finditer(chunk):
                start = place + match.start(match.lastindex or 0)
                # The file's own start is none where the chunk begins inside it.
                inside = match.start() > 0 or place == 0 or match.lastindex is None
                if start >= at and inside and (proves is None or proves(read_at, start)):
                    return start
            if len(chunk) <= _LONGEST_START:
                break
            place += len(chunk) - _LONGEST_START
        return size

    return find


def _is_member(read_at: ReadAt, at: int) -> bool:
    return is_record(read_at(1 << 12, at))


def is_record(head: bytes) -> bool:
    """Whether a gzip member begins that holds a record of a web archive."""
    try:
        text = isal_zlib.decompressobj(wbits=31).decompress(head[: 1 << 12], 16)
    except isal_zlib.error:
        return False
    return text.startswith(b"WARC/")


def next_member(head: bytes) -> bool:
    """Whether a second record's member begins within the first bytes of a file."""
    return any(is_record(head[m.start() :]) for m in _MEMBER.finditer(head, 1))


def _same(read_at: ReadAt, at: int, size: int) -> int:
    """Row groups are told apart by where they begin, not by what stands there."""
    return at


FINDERS: dict[str, Callable[[ReadAt, int, int], int]] = {
    "lines": _line,
    "records": _found(_RECORD),
    "members": _found(_MEMBER, _is_member),
    "groups": _same,
}
