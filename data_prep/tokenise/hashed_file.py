"""A file that knows its size and SHA-256 when it is closed."""

import hashlib
from pathlib import Path

import numpy as np

from geo_nemo.store.manifest import ColumnEntry, Dtype, FileEntry


class HashedFile:
    """Written from start to end. Whoever builds the folder puts it on disk."""

    def __init__(self, path: Path):
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._bytes += memoryview(data).nbytes

    def close(self) -> FileEntry:
        self._file.close()
        return FileEntry(bytes=self._bytes, sha256=self._digest.hexdigest())

    def close_column(self, dtype: Dtype) -> ColumnEntry:
        return ColumnEntry(**self.close().model_dump(), dtype=dtype)

    def abandon(self) -> None:
        """Close after an error, leaving the file as it is."""
        self._file.close()


def write_column(path: Path, values: np.ndarray) -> ColumnEntry:
    """A whole column at once, in the type it has."""
    file = HashedFile(path)
    file.write(np.ascontiguousarray(values).data.cast("B") if len(values) else b"")
    return file.close_column(values.dtype.name)
