"""The files in which W&B keeps a run that is offline: which step they have last.

A `.wandb` file is a log of LevelDB's: blocks of 32 KiB, records in them cut where a block ends.
Each record is a message of `wandb.proto`. W&B writes blocks when they are full, so that a kill may
take the newest rows: the file knows what it has, and nobody else does.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 1 << 15
_FILE_HEADER = 7
_HEADER = struct.Struct("<IHB")  # checksum, length, kind
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# Blocks at the end of a file that are read first; a row is some kilobytes.
_TAIL = 64


def last_step(folder: Path, run_id: str) -> int | None:
    """The last step of the newest session of a run that has rows; None: there is no file at all."""
    files = sorted(folder.glob(f"*run-*-{run_id}/run-{run_id}.wandb"))
    steps = (_last_step_of(path) for path in reversed(files))
    return next((step for step in steps if step), 0) if files else None


def _last_step_of(path: Path) -> int:
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record

    blocks = -(-path.stat().st_size // _BLOCK)
    for first in (max(blocks - _TAIL, 0), 0):
        steps = [0]
        with path.open("rb") as file:
            file.seek(first * _BLOCK)
            content = file.read()
        for message in _messages(content, 0 if first else _FILE_HEADER):
            try:
                record = Record.FromString(message)
            except DecodeError:  # damaged
                continue
            if record.WhichOneof("record_type") == "history":
                steps.append(record.history.step.num)
        if max(steps) or not first:
            return max(steps)
    return 0


def _messages(content: bytes, place: int) -> Iterator[bytes]:
    """Whole records from `place` on; of one that begins before it or is cut off, nothing."""
    parts: list[bytes] | None = None
    while place + _HEADER.size <= len(content):
        if _BLOCK - place % _BLOCK < _HEADER.size:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(content, place)
        place += _HEADER.size
        part = content[place : place + length]
        place += length
        if kind in (_WHOLE, _FIRST):
            parts = []
        if parts is None or len(part) < length or kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST):
            parts = None
            continue
        parts.append(part)
        if kind in (_WHOLE, _LAST):
            yield b"".join(parts)
            parts = None
