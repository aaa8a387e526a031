"""Writes Megatron's indexed dataset: tokens in `.bin`, where each document stands in `.idx`.

The index: 9 bytes `MMIDIDX\\0\\0`, version 1 (uint64), code of the token type (uint8), number of
sequences and of document borders (uint64 each), then lengths (int32), byte offsets (int64) and
document borders (int64). Here a document is one sequence, as Megatron's preprocess_data makes it.
Format: megatron.core.datasets.indexed_dataset.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from geo_nemo.common.errors import UserError

HEADER = b"MMIDIDX\x00\x00"
VERSION = 1
# Megatron's own choice: 2 bytes below this size of the vocabulary.
UINT16_BELOW = 65_500
TYPE_CODES = {np.dtype(np.int32): 4, np.dtype(np.uint16): 8}
BUFFERED_TOKENS = 1 << 21
CHUNK = 1 << 18


def token_type(vocab_size: int) -> np.dtype:
    """The type in which Megatron keeps ids of a vocabulary of this size."""
    return np.dtype(np.uint16 if vocab_size < UINT16_BELOW else np.int32)


class IndexedWriter:
    """Writes `data.bin` and `data.idx` into the folder `folder`, document by document.

    Memory is one buffer: lengths wait in a file of their own until the end.
    """

    def __init__(self, folder: Path, dtype: np.dtype):
        self.bin_path, self.idx_path = folder / "data.bin", folder / "data.idx"
        self.documents = self.tokens = 0
        self.dtype = dtype
        self._lengths_path = folder / "lengths"
        self._bin = self.bin_path.open("wb")
        self._lengths = self._lengths_path.open("wb")
        self._pending: list[np.ndarray] = []
        self._pending_lengths: list[int] = []
        self._pending_tokens = 0

    def add(self, parts: Sequence[np.ndarray]) -> None:
        """Append a document whose tokens are those of `parts`, in order."""
        length = sum(map(len, parts))
        if length >= 1 << 31:
            raise UserError(f"document {self.documents} has {length} tokens, Megatron takes 2^31-1")
        self._pending += parts
        self._pending_lengths.append(length)
        self._pending_tokens += length
        self.documents += 1
        self.tokens += length
        if self._pending_tokens >= BUFFERED_TOKENS:
            self._flush()

    def finish(self) -> None:
        """Write the index; both files are on disk then."""
        self._flush()
        for file in (self._bin, self._lengths):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        with self.idx_path.open("wb") as index:
            index.write(HEADER + struct.pack("<QB", VERSION, TYPE_CODES[self.dtype]))
            index.write(struct.pack("<QQ", self.documents, self.documents + 1))
            for chunk in self._chunks():
                index.write(chunk.data)
            offset = 0
            for chunk in self._chunks():
                ends = offset + np.cumsum(chunk, dtype=np.int64) * self.dtype.itemsize
                index.write(np.concatenate([[offset], ends[:-1]]).astype("<i8").data)
                offset = int(ends[-1])
            for start in range(0, self.documents + 1, CHUNK):
                stop = min(start + CHUNK, self.documents + 1)
                index.write(np.arange(start, stop, dtype="<i8").data)
            index.flush()
            os.fsync(index.fileno())
        self._lengths_path.unlink()

    def abandon(self) -> None:
        """Close the files after an error, leaving them as they are."""
        self._bin.close()
        self._lengths.close()

    def _flush(self) -> None:
        if not self._pending_lengths:
            return
        tokens = np.concatenate([p for p in self._pending if len(p)]).astype(self.dtype)
        self._bin.write(tokens.data)
        self._lengths.write(np.array(self._pending_lengths, "<i4").data)
        self._pending, self._pending_lengths, self._pending_tokens = [], [], 0

    def _chunks(self) -> Iterator[np.ndarray]:
        """The lengths again, a chunk at a time."""
        with self._lengths_path.open("rb") as file:
            while len(chunk := np.fromfile(file, "<i4", CHUNK)):
                yield chunk
