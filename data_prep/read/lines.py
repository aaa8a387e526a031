"""Lines of a stream of blocks; of a line over the limit only the start is ever in memory."""

from collections.abc import Iterable, Iterator

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
