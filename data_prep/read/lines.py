"""Lines of a stream of blocks; of a line over the limit only the start is ever in memory.

`LineReader` is the reader of the narrow pipeline, which sees lines and not records.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.config import Limits
from data_prep.read.record import DamagedError
from data_prep.read.storage import LocalFile
from data_prep.read.unpack import Unpacked

HEAD_BYTES = 1 << 10
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def split_lines(blocks: Iterable[bytes], limit: int) -> Iterator[tuple[int, bytes, int]]:
    """(number from 1, line without its end, 0) of each line, empty ones too.

    Of a line of more than `limit` bytes: (number, its first KiB, its length).
    """
    number = 0
    # Bytes of the line that is not over yet; `skipped` counts those no longer kept of it.
    parts: list[bytes] = []
    held = skipped = 0
    for block in blocks:
        if not number:
            block = block.removeprefix(BYTE_ORDER_MARK) if not (parts or skipped) else block
        *ended, rest = block.split(b"\n")
        for piece in ended:
            number += 1
            if parts or skipped:
                parts.append(piece)
                piece = b"".join(parts)
                parts, held = [], 0
            if skipped or len(piece) > limit:
                yield number, piece[:HEAD_BYTES], skipped + len(piece)
                skipped = 0
            else:
                yield number, piece, 0
        if skipped:
            skipped += len(rest)
        elif rest:
            parts.append(rest)
            held += len(rest)
            if held > limit:
                head = b"".join(parts)[:HEAD_BYTES]
                skipped, parts, held = held - len(head), [head], 0
    if parts:
        piece = b"".join(parts)
        if skipped or len(piece) > limit:
            yield number + 1, piece[:HEAD_BYTES], skipped + len(piece)
        else:
            yield number + 1, piece, 0


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
        self.digest = ""

    def __iter__(self) -> Iterator[Line | Damage]:
        source = LocalFile(str(self.path))
        stream = Unpacked(source, Limits(expansion=1 << 62))
        number = 0
        try:
            for number, data, too_long in split_lines(stream.blocks(), self.max_line_bytes):
                self.bytes_read = source.bytes_read
                yield Line(number, data, too_long)
        except DamagedError as damage:
            yield Damage(number + 1, damage.reason, damage.detail)
        else:
            if not stream.text_bytes:
                yield Damage(0, "empty_file", "the file holds nothing")
            source.finish()
        finally:
            self.bytes_read, self.text_bytes = source.bytes_read, stream.text_bytes
            self.digest = source.digest
            source.close()
