"""Writes a packing index a window at a time, into memory or into the files of a new folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from geo_nemo.common.files import write_synced
from geo_nemo.data.dropout import SHOWN
from geo_nemo.data.index.read import (
    FILES,
    FORMAT,
    LEDGER,
    NAME,
    WINDOW,
    Index,
    Parts,
    block_hash,
    ledger_stride,
    record_check,
    tally,
)
from geo_nemo.data.window import Counts, Planner, Window


@dataclass(frozen=True)
class Block:
    """What one window adds. sequence_sizes: fragments of each sequence, [sequences]; ledger:
    [groups, 4]; shown: [3, 4]."""

    fragments: np.ndarray
    sequence_sizes: np.ndarray
    ledger: np.ndarray
    shown: np.ndarray
    counts: Counts

    @classmethod
    def of(cls, window: Window, planner: Planner) -> Block:
        """A window that `planner` planned as a block."""
        groups = planner.group_of(window.fragments)
        ledger = tally(window.fragments, groups, planner.num_groups)
        shown = tally(window.fragments, planner.shown_of(window.fragments), len(SHOWN))
        return cls(window.fragments, np.diff(window.sequence_starts), ledger, shown, window.counts)


class MemorySink:
    """Takes blocks into memory."""

    def __init__(self, dtype: np.dtype, num_groups: int):
        self._blocks: list[Block] = []
        self._dtype = dtype
        self._num_groups = num_groups

    def add(self, block: Block) -> None:
        self._blocks.append(block)

    def finish(self, documents: int) -> Index:
        """The index of what was added, out of so many documents."""
        blocks = self._blocks
        none = [np.empty(0, self._dtype)]
        fragments = np.concatenate([block.fragments for block in blocks] or none)
        sizes = np.concatenate([np.zeros(1, np.int64), *(block.sequence_sizes for block in blocks)])
        stride = ledger_stride(self._num_groups)
        kept = len(blocks) // stride + 1
        ledger = np.zeros((kept, self._num_groups, len(LEDGER)), dtype=np.int64)
        total = np.zeros_like(ledger[0])
        shown = np.zeros((len(blocks) + 1, len(SHOWN), len(LEDGER)), dtype=np.int64)
        windows = np.zeros(len(blocks), dtype=WINDOW)
        counts = Counts()
        for number, block in enumerate(blocks):
            windows[number] = counts.sequences, counts.fragments, 0
            total += block.ledger
            shown[number + 1] = shown[number] + block.shown
            if (number + 1) % stride == 0:
                ledger[(number + 1) // stride] = total
            counts += block.counts
        parts = Parts(fragments, np.cumsum(sizes), windows, ledger, shown)
        return Index(parts, counts, documents)


class FileSink:
    """Appends blocks to the files of a new folder; not an index until `finish`.

    Its errors are the system's: an `OSError` that names the file.
    """

    def __init__(self, folder: Path, num_groups: int):
        self.folder = folder
        folder.mkdir(parents=True)
        self._files = [(folder / name).open("wb") for name in FILES]
        self._hashes = [xxhash.xxh3_128() for _ in FILES]
        self._sizes = [0] * len(FILES)
        self.counts = Counts()
        self._ledger = np.zeros((num_groups, len(LEDGER)), dtype="<i8")
        self._shown = np.zeros((len(SHOWN), len(LEDGER)), dtype="<i8")
        self._stride = ledger_stride(num_groups)
        self.windows = 0
        self._write(1, np.zeros(1, dtype="<i8"))
        self._write(3, self._ledger)
        self._write(4, self._shown)

    def add(self, block: Block) -> None:
        counts = self.counts
        ends = counts.fragments + np.cumsum(block.sequence_sizes, dtype="<i8")
        check = block_hash(block.fragments, block.sequence_sizes)
        self._ledger += block.ledger
        self._write(0, block.fragments)
        self._write(1, ends)
        self._write(2, np.array([(counts.sequences, counts.fragments, check)], dtype=WINDOW))
        self._shown += block.shown
        self._write(4, self._shown)
        self.windows += 1
        if self.windows % self._stride == 0:
            self._write(3, self._ledger)
        self.counts = counts + block.counts

    def finish(self, description: dict[str, Any], documents: int) -> None:
        """Put everything on disk; `description` is compared by whoever opens the index."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        files = {
            name: {"bytes": size, "xxh3_128": digest.hexdigest()}
            for name, size, digest in zip(FILES, self._sizes, self._hashes, strict=True)
        }
        record = {
            "format": FORMAT,
            "made_from": description,
            "documents": documents,
            "counts": self.counts.for_file(),
            "files": files,
        }
        content = {**record, "check": record_check(record)}
        write_synced(self.folder / NAME, json.dumps(content, indent=1, sort_keys=True).encode())

    def close(self) -> None:
        """Close the files, as after a failure."""
        for file in self._files:
            file.close()

    def _write(self, number: int, values: np.ndarray) -> None:
        content = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        self._files[number].write(content)
        self._hashes[number].update(content)
        self._sizes[number] += len(content)
