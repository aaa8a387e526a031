"""The rows of a `.wandb` file: records of LevelDB's log, each a message of W&B's."""

import json
import struct
import time
from pathlib import Path

BLOCK = 1 << 15
FILE_HEADER = 7
RECORD_HEADER = 7  # checksum 4, length 2, kind 1: whole, first, middle, last


def wait_for_end(path: Path, seconds: float = 30) -> None:
    """Until W&B has written the session's last record, which `finish` does not wait for (0.31)."""
    until = time.monotonic() + seconds
    while not any(r.WhichOneof("record_type") == "exit" for r in _read(path)):
        assert time.monotonic() < until, f"{path} does not end"
        time.sleep(0.02)


def rows(path: Path) -> list[dict]:
    """What was logged, a dict a row."""
    found = []
    for record in _read(path):
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
            found.append({"_step": record.history.step.num, **row})
    return found


def _read(path: Path) -> list:
    from wandb.proto.wandb_internal_pb2 import Record

    return [Record.FromString(content) for content in _records(path.read_bytes())]


def _records(content: bytes) -> list[bytes]:
    assert content[:4] in (b"", b":W&B")  # not yet begun, or begun
    records, place, begun = [], FILE_HEADER, b""
    while place + RECORD_HEADER <= len(content):
        if BLOCK - place % BLOCK < RECORD_HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        place += RECORD_HEADER
        if place + length > len(content):
            break  # cut off
        begun += content[place : place + length]
        place += length
        if kind in (1, 4):
            records.append(begun)
            begun = b""
    return records
