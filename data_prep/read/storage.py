"""The bytes of one input file, read once from its start, counted and hashed, watched for change."""

import io
import os
from abc import ABC, abstractmethod
from functools import partial
from typing import BinaryIO

import xxhash

from data_prep.read.borders import borders
from data_prep.read.places import FILE, kind_of, version_of
from data_prep.read.record import InputFile, shown
from geo_nemo.common.errors import UserError

READ_BYTES = 1 << 18


class ByteSource(ABC):
    """Bytes of a file in order. `close` must be called; `finish` makes sure of the whole.

    name: how messages call the file. size: bytes to read. whole: of the file when it was opened.
    progress: bytes of it that were used so far, where it is sought in.
    """

    def __init__(self, name: str, size: int):
        self.name = name
        self.size = self.whole = size
        self.bytes_read = 0
        self.progress = 0
        self._hash = xxhash.xxh3_128()
        self._peeked = b""

    @property
    def digest(self) -> str:
        """xxh3-128 of the bytes read, in hex."""
        return self._hash.hexdigest()

    def read(self) -> bytes:
        """The next bytes, a few hundred KiB; empty at the end. UserError where reading fails."""
        data, self._peeked = self._peeked, b""
        if not data:
            try:
                data = self._read()
            except OSError as error:
                raise self.failed(error) from None
            self._hash.update(data)
        self.bytes_read += len(data)
        return data

    def peek(self) -> bytes:
        """What `read` will give, without reading it."""
        if not self._peeked:
            self._peeked = self.read()
            self.bytes_read -= len(self._peeked)
        return self._peeked

    def finish(self) -> None:
        """Read to the end. UserError where the file is not what it was when it was opened."""
        while self.read():
            pass
        try:
            changed = self.bytes_read != self.size or self._changed()
        except OSError as error:
            raise self.failed(error) from None
        self.progress = 0  # row groups of a piece may reach out of it
        if changed:
            raise UserError(
                f"{self.name} changed while it was read: let its writer finish, then run again"
            )

    def failed(self, error: OSError) -> UserError:
        return UserError(f"cannot read {self.name}: {error.strerror or type(error).__name__}")

    @abstractmethod
    def seekable(self) -> BinaryIO:
        """The same bytes as a file that can be sought in; at most one block may have been read."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _read(self) -> bytes: ...

    @abstractmethod
    def _changed(self) -> bool:
        """Whether the file is no longer the one that was opened."""


class LocalFile(ByteSource):
    """A regular file of this machine, or a piece of one: then `size` is the piece's."""

    def __init__(self, path: str, listed: InputFile | None = None):
        name = shown(path)
        try:
            # A FIFO in the file's place would otherwise wait for a writer for ever.
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror}") from None
        self._path = path
        self._offset = 0
        self._opened = os.fstat(self._fd)
        self._stop: int | None = None  # of a file as a whole, where the system ends it
        super().__init__(name, self._opened.st_size)
        try:
            if (kind := kind_of(self._opened.st_mode)) != FILE:
                raise UserError(f"{name} is {kind}, not a file of records")
            if listed and (listed.size, listed.version) != (self.size, version_of(self._opened)):
                raise UserError(f"{name} changed since it was listed: run again")
            if listed and listed.piece:
                self._cut(listed.piece)
        except UserError:
            self.close()
            raise

    def _cut(self, piece: tuple[str, int, int]) -> None:
        try:
            self._offset, self._stop = borders(partial(os.pread, self._fd), self.whole, piece)
        except OSError as error:
            raise self.failed(error) from None
        self.size = self._stop - self._offset

    def seekable(self) -> BinaryIO:
        return SeekableFile(self._fd, self)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> bytes:
        # Not where the descriptor stands: a seekable file over it moves that.
        most = READ_BYTES if self._stop is None else min(READ_BYTES, self._stop - self._offset)
        data = os.pread(self._fd, most, self._offset)
        self._offset += len(data)
        return data

    def _changed(self) -> bool:
        states = (self._opened, os.fstat(self._fd), os.stat(self._path))
        return len({(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in states}) > 1


class SeekableFile(io.FileIO):
    """A descriptor of `source` to seek in; its errors are the user's, its reads are bounded."""

    def __init__(self, descriptor: int, source: ByteSource):
        super().__init__(descriptor, "rb", closefd=False)
        self._source = source

    def read(self, size: int = -1) -> bytes:
        # A damaged file may ask for 2 GiB, which would be allocated before it is read.
        left = max(self._source.whole - self.tell(), 0)
        try:
            return super().read(min(size, left) if size >= 0 else left)
        except OSError as error:
            raise self._source.failed(error) from None
