"""Records of ARC, the Internet Archive's format before WARC: a line and a response each.

`URL IP-address date content-type length`, the date in fourteen digits; the first record describes
the file. Format: archive.org/web/researcher/ArcFileFormat.php, version 1 and 2's longer line.
"""

import re
from collections.abc import Iterator

from data_prep.config import Limits
from data_prep.read.fields import Fields
from data_prep.read.own_metas import OwnMetas
from data_prep.read.record import EXCERPT_BYTES, Bad, DamagedError, Raw
from data_prep.read.unpack import Unpacked
from data_prep.read.warc import response_document
from geo_nemo.common.counts import plural

MAX_LINE_BYTES = 16 << 10
START = b"filedesc:"
# An address may hold spaces.
_LINE = re.compile(rb"(\S.*?) (\S+) (\d{8})\d{0,6} (.*?)(\d{1,12})\s*\Z")


def read_arc(stream: Unpacked, fields: Fields, limits: Limits) -> Iterator[Raw | Bad]:
    """The responses that are pages.

    Numbers count the archive's records of all kinds; lines that begin none have the number of the
    record that they stand before.
    """
    number, lost, first, own = 1, 0, b"", OwnMetas(fields)
    try:
        while line := _line(stream):
            found = _LINE.match(line)
            if found is None:
                lost, first = lost + 1, first or line[:EXCERPT_BYTES]
                continue
            yield from _of_no_record(number, lost, first)
            lost, first = 0, b""
            yield from _record(stream, line, found, number, limits, own)
            number += 1
        yield from _of_no_record(number, lost, first)
        if number == 1:
            yield Bad(0, "unknown_format", "no ARC: it holds no record")
    except DamagedError as damage:
        yield from _of_no_record(number, lost, first)
        yield Bad(number, damage.reason, damage.detail)


def _of_no_record(number: int, lost: int, first: bytes) -> Iterator[Bad]:
    """What is told of `lost` lines; nothing of none."""
    if lost:
        yield Bad(number, "broken_warc", f"{plural(lost, 'line')} of no record", first)


def _record(
    stream: Unpacked,
    line: bytes,
    found: re.Match[bytes],
    number: int,
    limits: Limits,
    own: OwnMetas,
) -> Iterator[Raw | Bad]:
    """The record behind its line. DamagedError where the archive ends in it."""
    size, is_start = int(found[5]), line.startswith(START)
    wanted = size <= limits.record_bytes and not is_start
    block = stream.read(size) if wanted else b""
    if (len(block) if wanted else stream.skip(size)) < size:
        raise DamagedError("truncated_file", "the archive ends inside a record")
    if wanted:
        day = found[3].decode()
        known = {
            "url": found[1].decode("utf-8", "replace"),
            "date": f"{day[:4]}-{day[4:6]}-{day[6:8]}",
        }
        yield response_document(block, known, number, limits, line[:EXCERPT_BYTES], own)
    elif not is_start:
        detail = f"a record of {size} bytes"
        yield Bad(number, "record_too_long", detail, line[:EXCERPT_BYTES])


def _line(stream: Unpacked) -> bytes:
    """The next line that is not blank; empty at the end."""
    while window := stream.peek(MAX_LINE_BYTES):
        end = window.find(b"\n")
        line = stream.read(end + 1 if end >= 0 else len(window)).strip()
        if line:
            return line
    stream.read(1)  # damage is raised here
    return b""
