"""Values of JSON that stand over many lines, cut out of a stream: those of arrays, or one after
another; of a value over the limit only the start is ever in memory."""

import re
from collections.abc import Iterable, Iterator

from data_prep.read.lines import BYTE_ORDER_MARK, HEAD_BYTES
from data_prep.read.record import DamagedError

_MARK = re.compile(rb"[\"\[\]{},]")
# Up to the quote that ends a string, or to the end of the block; an escape may straddle that.
_REST = re.compile(rb"[^\"\\]*+(?:\\.[^\"\\]*+)*+", re.DOTALL)
_BETWEEN = BYTE_ORDER_MARK + b" \t\r\n,\x1e"


def split_values(blocks: Iterable[bytes], limit: int) -> Iterator[tuple[int, bytes, int]]:
    """(number from 1, bytes, 0) of each value; `split_lines` does the same of lines.

    Of a value of more than `limit` bytes: (number, its first KiB, its length). Values are those of
    the outermost arrays, and objects outside of them. DamagedError where the data end inside one.
    """
    number = depth = size = 0
    parts: list[bytes] = []  # of the value at hand, as long as it is within the limit
    in_array = in_string = False
    held = b""  # the first half of an escape

    def keep(piece: bytes) -> None:
        nonlocal size
        piece = piece if size else piece.lstrip(_BETWEEN)
        if size <= limit and piece:
            parts.append(piece)
        size += len(piece)
        if size > limit and len(parts) > 1:
            parts[:] = [b"".join(parts)[:HEAD_BYTES]]

    def taken() -> tuple[bytes, int]:
        nonlocal size
        found, length = b"".join(parts).rstrip(_BETWEEN), size
        size = 0
        parts.clear()
        return (found[:HEAD_BYTES], length) if length > limit else (found, 0)

    for block in blocks:
        block = held + block
        held, place, start = b"", 0, 0
        while place < len(block):
            if in_string:
                place = _REST.match(block, place).end()
                if place == len(block):
                    break
                if block[place] == 0x5C:
                    held, block = block[place:], block[:place]
                    break
                in_string = False
                place += 1
                continue
            mark = _MARK.search(block, place)
            if mark is None:
                break
            sign, place = mark[0], mark.end()
            top = depth == in_array  # where values of the outside stand
            ended = sign == b"," and top
            if sign == b'"':
                in_string = True
            elif sign == b"[" and depth == 0:
                in_array, depth, start = True, 1, place
            elif sign in b"[{":
                depth += 1
            elif sign == b"]" and depth == 1 and in_array:
                ended, in_array, depth = True, False, 0
            elif sign in b"]}":
                depth = max(depth - 1, in_array)
                ended = depth == 0
            if not ended:
                continue
            keep(block[start : mark.start() if sign in b",]" else place])
            start = place
            if size:
                number += 1
                yield number, *taken()
        keep(block[start:])
    if size and depth == in_array and not in_string:
        yield number + 1, *taken()
    if depth:
        kind = "array" if in_array else "object"
        raise DamagedError("truncated_file", f"the file ends inside a JSON {kind}")
