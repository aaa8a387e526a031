"""Input files on `s3://`, by the client of geo_nemo.storage, which tells how it is set up.

No message repeats what the server or the AWS variables say, beyond the name of an error.
"""

import os
import re
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO

from data_prep.read.borders import borders
from data_prep.read.places import FILE, FOLDER, Entry
from data_prep.read.record import InputFile, shown
from data_prep.read.s3_ranges import RangedObject
from data_prep.read.storage import ByteSource, SeekableFile
from geo_nemo.common.addresses import SCHEME
from geo_nemo.common.errors import UserError
from geo_nemo.storage.client import connect, hint

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import FileInfo, S3FileSystem

# A request costs some 50 ms whatever it asks for.
READ_BYTES = 8 << 20
GROUPS = "groups"  # pieces of Parquet, of data_prep.read.borders


class S3Buckets:
    """Objects of any bucket, seen as files in folders."""

    def entry(self, path: str) -> Entry | None:
        from pyarrow.fs import FileType

        bare = _bare(path)
        if "*" in bare.partition("/")[0] or not bare.strip("/"):
            raise UserError(f"input={shown(path)}: name one bucket, as in s3://bucket/folder")
        info = _guarded(path, lambda system: system.get_file_info(bare.rstrip("/")))
        return None if info.type == FileType.NotFound else _entry(info)

    def entries(self, folder: str) -> list[Entry]:
        return self._under(folder, recursive=False)

    def matches(self, pattern: str) -> list[Entry]:
        fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
        wanted = re.compile(_regex(pattern), re.DOTALL)
        deep = "/" in pattern[len(fixed) + 1 :] or "**" in pattern
        if self.entry(fixed) is None:
            return []
        return [e for e in self._under(fixed, deep) if wanted.fullmatch(e.path)]

    def content(self, path: str, limit: int) -> bytes:
        def read(system: "S3FileSystem") -> bytes:
            with _open(system, path) as stream:
                return stream.read(limit)

        return _guarded(path, read)

    def _under(self, folder: str, recursive: bool) -> list[Entry]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(_bare(folder).rstrip("/"), recursive=recursive)
        infos = _guarded(folder, lambda system: system.get_file_info(selector))
        return sorted((_entry(info) for info in infos), key=lambda entry: entry.path)


class S3File(ByteSource):
    """An object, or a piece of one; then `size` is the piece's. Read in large requests.

    Its ETag tells whether it was replaced meanwhile. A piece of row groups is sought in, and not
    read in order: its digest is that of the ETag and the piece's place.
    """

    def __init__(self, file: InputFile):
        self._path = file.path
        entry = S3Buckets().entry(file.path)
        if entry is None:
            raise UserError(f"cannot read {shown(file.path)}: no such file")
        if (entry.size, entry.version) != (file.size, file.version):
            raise UserError(f"{shown(file.path)} changed since it was listed: run again")
        self._stream = _guarded(file.path, lambda system: _open(system, file.path))
        self._etag = self._stream.metadata().get("ETag")
        self._spool: BinaryIO | None = None
        self._first = b""
        self._left = entry.size
        super().__init__(shown(file.path), entry.size)
        self._groups = file.piece if file.piece and file.piece[0] == GROUPS else None
        if file.piece:
            self._cut(file.piece)

    def _cut(self, piece: tuple[str, int, int]) -> None:
        self._stream.close()
        try:
            self._stream = _guarded(
                self._path, lambda system: system.open_input_file(_bare(self._path))
            )
            start, stop = borders(self._stream.read_at, self.whole, piece)
            self._stream.seek(start)
        except OSError as error:
            self.close()
            raise self.failed(error) from None
        except UserError:
            self.close()
            raise
        self.size = self._left = stop - start

    def failed(self, error: OSError) -> UserError:
        if self._changed():
            return UserError(f"{self.name} changed while it was read: run again")
        return UserError(f"cannot read {self.name}: {hint(error)}")

    def seekable(self) -> BinaryIO:
        """A copy in the folder for temporary files, removed when this is closed; of a piece, ranges
        of the object.

        Of a whole object, ranges would be fetched a second time for the digest.
        """
        if self._groups:
            return RangedObject(self._stream, self)
        self._spool = tempfile.TemporaryFile(prefix="geo-nemo-")  # noqa: SIM115
        try:
            self._spool.write(self._first)
            self._peeked, self.bytes_read = b"", len(self._first)
            while data := self.read():
                self._spool.write(data)
            self._spool.flush()
        except OSError as error:
            raise UserError(
                f"cannot keep a copy of {self.name} in {tempfile.gettempdir()}: "
                f"{error.strerror}; set TMPDIR to a folder with more space"
            ) from None
        os.lseek(self._spool.fileno(), 0, os.SEEK_SET)
        return SeekableFile(self._spool.fileno(), self)

    def finish(self) -> None:
        if not self._groups:
            super().finish()
            return
        if self._changed():
            raise UserError(
                f"{self.name} changed while it was read: let its writer finish, then run again"
            )
        self._hash.update(f"{self._etag} {self._groups}".encode())
        self.bytes_read, self.progress = self.size, 0

    def close(self) -> None:
        self._stream.close()
        if self._spool is not None:
            self._spool.close()

    def _read(self) -> bytes:
        data = self._stream.read(min(READ_BYTES, self._left))
        self._left -= len(data)
        # Looking at the first block tells whether the object is to be copied.
        self._first = b"" if self.bytes_read else data
        return data

    def _changed(self) -> bool:
        def etag(system: "S3FileSystem") -> Any:
            with _open(system, self._path) as stream:
                return stream.metadata().get("ETag")

        return _guarded(self._path, etag) != self._etag


def _bare(path: str) -> str:
    """Bucket and key. UserError where the path holds credentials, which it does not repeat."""
    bare = path.removeprefix(SCHEME)
    # Secrets of AWS may hold slashes, so the @ may stand later; no bucket has a colon.
    if {"@", ":"} & set(bare.partition("/")[0]):
        raise UserError("input=s3://...: credentials belong in the environment, not in the path")
    return bare


def _open(system: "S3FileSystem", path: str) -> "NativeFile":
    # By default pyarrow would decompress what is called .gz.
    return system.open_input_stream(_bare(path), compression=None)


def _entry(info: "FileInfo") -> Entry:
    from pyarrow.fs import FileType

    path = SCHEME + info.path
    if info.type != FileType.File:
        return Entry(path, FOLDER, identity=path)
    # Listings give fractions of the second, the object's own header does not.
    return Entry(path, FILE, info.size, str(int(info.mtime.timestamp())), path)


def _guarded(path: str, action) -> Any:
    """What `action` gives for the file system of a path; its errors as UserErrors."""
    bucket = _bare(path).partition("/")[0]
    try:
        return action(connect(bucket))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {shown(path)}: {hint(error)}") from None


def _regex(pattern: str) -> str:
    """A pattern of the shell as a regular expression over whole paths."""
    out = []
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if piece == "**/":
            out.append("(?:.*/)?")
        elif piece == "**":
            out.append(".*")
        elif piece in "*?":
            out.append("[^/]*" if piece == "*" else "[^/]")
        elif piece.startswith("[") and len(piece) > 2:
            inner = piece[1:-1].replace("\\", "\\\\")
            out.append(f"[{'^' + inner[1:] if inner.startswith('!') else inner}]")
        else:
            out.append(re.escape(piece))
    return "".join(out)
