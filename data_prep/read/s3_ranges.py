"""An object on `s3://` as a file to be sought in, of which only what is asked for is fetched."""

import io
from collections import OrderedDict
from typing import TYPE_CHECKING

from data_prep.read.storage import ByteSource

if TYPE_CHECKING:
    from pyarrow import NativeFile

# A request costs some 50 ms whatever it asks for. Columns are read side by side, a block of each.
BLOCK_BYTES, MOST_BLOCKS = 4 << 20, 16


class RangedObject(io.RawIOBase):
    """The last blocks that were read stay in memory: at most 64 MiB. Its errors are the user's."""

    def __init__(self, stream: "NativeFile", source: ByteSource):
        self._stream, self._source = stream, source
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.whole}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(self._source.whole - self._at, 0)
        stop = self._at + (min(size, left) if size >= 0 else left)
        pieces = []
        while self._at < stop:
            number, start = divmod(self._at, BLOCK_BYTES)
            piece = self._block(number)[start : start + stop - self._at]
            if not piece:
                break  # the object has become shorter; whoever closes it will say so
            pieces.append(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        try:
            data = self._stream.read_at(BLOCK_BYTES, number * BLOCK_BYTES)
        except OSError as error:
            raise self._source.failed(error) from None
        self._blocks[number] = data
        if len(self._blocks) > MOST_BLOCKS:
            self._blocks.popitem(last=False)
        return data
