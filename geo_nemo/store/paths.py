"""URLs' paths in a store: compressed in small blocks, so that one costs microseconds to read.

A block holds BLOCK paths joined by newlines, as one zstandard frame; `path_end` holds where each
block ends in `path`, and `path_dict`, where it is not empty, is the dictionary of a shard's blocks.
The scheme goes with the path, where it is not https: `http:/news/1`.
"""

import threading

import numpy as np
import zstandard

BLOCK = 16
# No block is longer: what a broken frame may claim is bounded by it.
MAX_BLOCK_BYTES = 1 << 28
DEFAULT_SCHEME = "https"


def with_scheme(scheme: str, path: str) -> str:
    """What the store keeps of a URL beside its host. ValueError for what it cannot keep."""
    if path[:1] not in ("", "/", "?") or "\n" in path:
        raise ValueError(f"{path[:80]!r} is no normalised path")
    return path if scheme == DEFAULT_SCHEME else f"{scheme}:{path}"


def split_scheme(stored: str) -> tuple[str, str]:
    """Scheme and path of what the store keeps."""
    if stored[:1] in ("", "/", "?"):
        return DEFAULT_SCHEME, stored
    scheme, _, path = stored.partition(":")
    return scheme, path


class PathBlocks:
    """The paths of one shard.

    blocks, ends, dictionary: the columns path, path_end and path_dict.
    """

    def __init__(self, blocks: np.ndarray, ends: np.ndarray, dictionary: np.ndarray):
        self._blocks = blocks
        self._ends = ends
        self._dictionary = (
            zstandard.ZstdCompressionDict(dictionary.tobytes()) if len(dictionary) else None
        )
        # A decompressor must not be used by two threads at once.
        self._local = threading.local()

    def __getitem__(self, index: int) -> str:
        """What `with_scheme` gave for document `index`. ValueError where the block is damaged."""
        number, place = divmod(index, BLOCK)
        return self.block(number)[place]

    def block(self, number: int) -> list[str]:
        """All of a block. ValueError where it is damaged."""
        start = int(self._ends[number - 1]) if number else 0
        frame = memoryview(self._blocks[start : int(self._ends[number])])
        try:
            if zstandard.frame_content_size(frame) > MAX_BLOCK_BYTES:
                raise ValueError("a block of paths claims an impossible size")
            return self._decompressor().decompress(frame).decode().split("\n")
        except zstandard.ZstdError as error:
            raise ValueError(f"a block of paths cannot be unpacked: {error}") from None

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        found = getattr(self._local, "decompressor", None)
        if found is None:
            found = zstandard.ZstdDecompressor(dict_data=self._dictionary)
            self._local.decompressor = found
        return found
