"""What a reader is given: one file of input, opened."""

from functools import cached_property

from data_prep.config import Limits
from data_prep.read.fields import Fields
from data_prep.read.record import InputFile
from data_prep.read.storage import ByteSource
from data_prep.read.unpack import Unpacked


class Opened:
    """A file, or a piece of one.

    path, size: of the file itself. source: its bytes as they are, in order or to be sought in.
    fields: what its records call our fields. note: what a reader has to tell of how it read.
    found: the format was found by the bytes or the name, and not given.
    count: bytes of the values given out, of a reader of columns; None: those of `stream` count.
    """

    def __init__(self, file: InputFile, source: ByteSource, limits: Limits):
        self.path, self.size, self.piece = file.path, file.size, file.piece
        self.encoding = file.source.encoding
        self.source, self.limits = source, limits
        self.fields = Fields(file.source.fields)
        self.note = ""
        self.found = False
        self.count: list[int] | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @cached_property
    def stream(self) -> Unpacked:
        """Its bytes after decompression: gzip, zstd, or as they are."""
        return Unpacked(self.source, self.limits)

    @property
    def text_bytes(self) -> int:
        """So far, after decompression; of the columns that were read, where there are columns."""
        if self.count is not None:
            return self.count[0]
        return self.stream.text_bytes if "stream" in self.__dict__ else 0
