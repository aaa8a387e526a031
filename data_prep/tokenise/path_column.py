"""Writes the paths of a shard in small compressed blocks, with a dictionary learned from them."""

import numpy as np
import zstandard

from data_prep.tokenise.hashed_file import HashedFile
from geo_nemo.store.paths import BLOCK, MAX_BLOCK_BYTES

# A dictionary of 64 KiB makes news paths a third smaller than blocks alone do, and blocks of 16
# with it are smaller than blocks of 256 without.
LEARN_FROM = 4096
DICTIONARY_BYTES, LEAST_DICTIONARY_BYTES = 1 << 16, 1 << 10
# Bytes of paths that pay for a byte of dictionary: fewer where more paths will follow.
PAID_BY_FOLLOWING, PAID_BY_ALL = 8, 64
LEVEL = 3


class PathColumn:
    """Takes paths in order, `LEARN_FROM` of them in memory."""

    def __init__(self, blocks: HashedFile):
        self.dictionary = b""
        self._file = blocks
        self._ends: list[int] = []
        self._end = 0
        self._waiting: list[bytes] = []
        self._compressor: zstandard.ZstdCompressor | None = None

    def add(self, paths: list[str]) -> None:
        self._waiting += [path.encode() for path in paths]
        if len(self._waiting) >= LEARN_FROM:
            self._start(PAID_BY_FOLLOWING)
            whole = len(self._waiting) // BLOCK * BLOCK
            self._write(self._waiting[:whole])
            del self._waiting[:whole]

    def close(self) -> np.ndarray:
        """Write what is left; where each block ends, uint64."""
        self._start(PAID_BY_ALL)
        self._write(self._waiting)
        return np.array(self._ends, np.uint64)

    def _start(self, paid_by: int) -> None:
        if self._compressor is not None:
            return
        learned = _learn(self._waiting[:LEARN_FROM], paid_by)
        self.dictionary = learned.as_bytes() if learned is not None else b""
        self._compressor = zstandard.ZstdCompressor(
            level=LEVEL,
            dict_data=learned,
            write_checksum=False,  # the manifest has a hash of all
            write_dict_id=False,
            write_content_size=True,
        )

    def _write(self, paths: list[bytes]) -> None:
        frames = []
        for start in range(0, len(paths), BLOCK):
            block = b"\n".join(paths[start : start + BLOCK])
            if len(block) > MAX_BLOCK_BYTES:
                raise ValueError(f"{BLOCK} paths of {len(block):,} bytes are too long to store")
            frame = self._compressor.compress(block)
            self._end += len(frame)
            self._ends.append(self._end)
            frames.append(frame)
        self._file.write(b"".join(frames))


def _learn(paths: list[bytes], paid_by: int) -> zstandard.ZstdCompressionDict | None:
    size = min(DICTIONARY_BYTES, sum(map(len, paths)) // paid_by)
    if size < LEAST_DICTIONARY_BYTES:
        return None
    try:
        learned = zstandard.train_dictionary(size, [path for path in paths if path])
        learned.precompute_compress(level=LEVEL)
    except zstandard.ZstdError:  # paths too much alike to learn from
        return None
    return learned
