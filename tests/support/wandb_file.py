"""The rows of a `.wandb` file: records of LevelDB's log, each a message of W&B's."""

import json
import struct
from pathlib import Path

BLOCK = 1 << 15
FILE_HEADER = 7
RECORD_HEADER = 7  # checksum 4, length 2, kind 1: whole, first, middle, last


def rows(path: Path) -> list[dict]:
    """What was logged, a dict a row."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for content in _records(path.read_bytes()):
        record = Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
            found.append({"_step": record.history.step.num, **row})
    return found


def _records(content: bytes) -> list[bytes]:
    assert content[:4] == b":W&B"
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
