"""One large file for many workers: pieces of it that begin where records do.

A piece is a range of bytes; its records are those that begin in it. JSON Lines are cut at line
ends, WARC and WET at records, and where each record is a gzip member (as Common Crawl's are) at
members, Parquet at row groups. Other files stay whole: nothing tells where their records begin.
"""

import itertools
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from isal import isal_zlib

from data_prep.read.detect import detect_bytes
from data_prep.read.encoding import LOOKED_AT, find_encoding
from data_prep.read.record import InputFile
from data_prep.read.s3 import SCHEME
from data_prep.read.unpack import GZIP_MAGIC, ZSTD_MAGIC

CHUNK_BYTES = 1 << 20
_LONGEST_START = 64
_RECORD = re.compile(rb"(?:^|\n\r?\n)(WARC/[01]\.\d{1,2}[ \t]*\r?\n(?:WARC-|Content-))")
_MEMBER = re.compile(rb"\x1f\x8b\x08")
_CUT = ("jsonl", "parquet", "warc", "wet")


def pieces(file: InputFile, most: int) -> list[InputFile]:
    """`file` itself where it has at most `most` bytes or cannot be cut; else its pieces."""
    if file.size <= most or file.path.startswith(SCHEME):
        return [file]
    kind = _cut_kind(file.path, file.size, file.version, file.source.format, file.source.encoding)
    if not kind:
        return [file]
    number = -(-file.size // most)
    places = [file.size * n // number for n in range(number + 1)]
    return [replace(file, piece=(kind, start, stop)) for start, stop in itertools.pairwise(places)]


def borders(descriptor: int, size: int, piece: tuple[str, int, int]) -> tuple[int, int]:
    """Where the first record of a piece begins, and the first behind it. Raises OSError."""
    kind, start, stop = piece
    find = _FINDERS[kind]
    return (find(descriptor, start, size), find(descriptor, stop, size))


@lru_cache(1 << 12)
def _cut_kind(path: str, size: int, version: str, given: str, encoding: str | None) -> str:
    """How a file can be cut, a key of _FINDERS; empty where it cannot."""
    try:
        with open(path, "rb") as file:
            head = file.read(LOOKED_AT)
    except OSError:
        return ""  # reading it will say so
    if head.startswith(GZIP_MAGIC):
        return "members" if _is_record(head) and _next_member(head) else ""
    if head.startswith(ZSTD_MAGIC):
        return ""
    kind = detect_bytes(head, path.rpartition("/")[2]) if given == "auto" else given
    if kind == "jsonl":
        plain = encoding in (None, "utf-8", "utf8") and not find_encoding(head)[0]
        objects = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
        return "lines" if plain and objects else ""
    return {"parquet": "groups", "warc": "records", "wet": "records"}.get(kind, "")


def _line(descriptor: int, at: int, size: int) -> int:
    """The first line's start from `at` on."""
    if at <= 0:
        return 0
    place = at - 1
    while place < size and (chunk := os.pread(descriptor, CHUNK_BYTES, place)):
        found = chunk.find(b"\n")
        if found >= 0:
            return place + found + 1
        place += len(chunk)
    return size


def _found(pattern: re.Pattern[bytes], proves: Callable[[int, int], bool] | None = None):
    """A finder of the first match from a place on, whose start is that of its last group."""

    def find(descriptor: int, at: int, size: int) -> int:
        if at <= 0:
            return 0
        place = max(at - _LONGEST_START, 0)
        while place < size and (chunk := os.pread(descriptor, CHUNK_BYTES, place)):
            for match in pattern.finditer(chunk):
                start = place + match.start(match.lastindex or 0)
                # The file's own start is none where the chunk begins inside it.
                inside = match.start() > 0 or place == 0 or match.lastindex is None
                if start >= at and inside and (proves is None or proves(descriptor, start)):
                    return start
            if len(chunk) <= _LONGEST_START:
                break
            place += len(chunk) - _LONGEST_START
        return size

    return find


def _is_member(descriptor: int, at: int) -> bool:
    return _is_record(os.pread(descriptor, 1 << 12, at))


def _is_record(head: bytes) -> bool:
    """Whether a gzip member begins that holds a record of a web archive."""
    try:
        text = isal_zlib.decompressobj(wbits=31).decompress(head[: 1 << 12], 16)
    except isal_zlib.error:
        return False
    return text.startswith(b"WARC/")


def _next_member(head: bytes) -> bool:
    """Whether a second record's member begins within the first bytes of a file."""
    return any(_is_record(head[m.start() :]) for m in _MEMBER.finditer(head, 1))


def _same(descriptor: int, at: int, size: int) -> int:
    """Row groups are told apart by where they begin, not by what stands there."""
    return at


_FINDERS: dict[str, Callable[[int, int, int], int]] = {
    "lines": _line,
    "records": _found(_RECORD),
    "members": _found(_MEMBER, _is_member),
    "groups": _same,
}
