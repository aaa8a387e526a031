"""The reader of one file, whatever its format."""

from collections.abc import Callable, Iterator

from data_prep.config import Limits
from data_prep.read.detect import detect, refuse_foreign
from data_prep.read.fields import Fields
from data_prep.read.record import Bad, DamagedError, InputFile, Raw, RecordReader
from data_prep.read.s3 import SCHEME, S3File
from data_prep.read.storage import ByteSource, LocalFile
from data_prep.read.unpack import Unpacked


def open_reader(file: InputFile, limits: Limits) -> RecordReader:
    """The reader of `file`; it opens the file when it is iterated over."""
    return FileReader(file, limits)


class FileReader:
    """Records of a file, up to its end or to where it is damaged; see RecordReader."""

    def __init__(self, file: InputFile, limits: Limits):
        self.file = file
        self.limits = limits
        self.digest = self.note = ""
        self.fields: Fields | None = None
        self._source: ByteSource | None = None
        self._text_bytes: Callable[[], int] = lambda: 0

    @property
    def seen(self) -> tuple[str, ...]:
        """What the file calls the fields of its records, as far as was read."""
        return self.fields.seen if self.fields is not None else ()

    @property
    def bytes_read(self) -> int:
        source = self._source
        return max(source.bytes_read, source.progress) if source is not None else 0

    @property
    def text_bytes(self) -> int:
        return self._text_bytes()

    def __iter__(self) -> Iterator[Raw | Bad]:
        path = self.file.path
        source = S3File(self.file) if path.startswith(SCHEME) else LocalFile(path, self.file)
        self._source = source
        try:
            try:
                yield from self._records(source)
            except DamagedError as damage:
                yield Bad(0, damage.reason, damage.detail)
            source.finish()
            self.digest = source.digest
        finally:
            source.close()

    def _records(self, source: ByteSource) -> Iterator[Raw | Bad]:
        limits = self.limits
        fields = self.fields = Fields(self.file.source.fields)
        piece = self.file.piece
        if piece and piece[0] == "groups":
            return self._row_groups(source, fields)
        if piece and not source.size:
            return iter(())
        stream = Unpacked(source, limits)
        self._text_bytes = lambda: stream.text_bytes
        if not stream.peek(1):
            # Damage before the first byte is raised here.
            stream.read(1)
            raise DamagedError("empty_file", "the file holds nothing")
        kind = self.file.source.format
        if kind == "auto":
            kind = detect(stream, self.file.path.rpartition("/")[2])
            kinds = ("response", "resource", "conversion")
        else:
            kinds = ("conversion",) if kind == "wet" else ("response", "resource")
        if kind != "parquet" or stream.compression:
            refuse_foreign(stream)
        if kind in ("jsonl", "csv"):
            return self._lines(kind, stream, fields)
        if kind == "webdataset":
            from data_prep.read.webdataset import read_webdataset

            return read_webdataset(stream, fields, limits)
        if kind in ("warc", "wet"):
            from data_prep.read.warc import read_warc

            return read_warc(stream, fields, limits, kinds)
        if kind == "arc":
            from data_prep.read.arc import read_arc

            return read_arc(stream, limits)
        if kind == "html":
            from data_prep.read.page import read_page

            return read_page(stream, self.file.path, limits)
        if kind == "parquet":
            return self._row_groups(source, fields)
        from data_prep.read.arrow import read_arrow

        return read_arrow(stream, fields, limits, source)

    def _row_groups(self, source: ByteSource, fields: Fields) -> Iterator[Raw | Bad]:
        from data_prep.read.parquet import read_parquet

        count = [0]
        self._text_bytes = lambda: count[0]
        piece = self.file.piece
        span = piece[1:] if piece else (0, self.file.size)
        return read_parquet(source, self.file.size, span, fields, self.limits, count)

    def _lines(self, kind: str, stream: Unpacked, fields: Fields) -> Iterator[Raw | Bad]:
        from data_prep.read.encoding import as_utf8

        text, self.note = as_utf8(stream, self.file.source.encoding)
        if kind == "jsonl":
            from data_prep.read.jsonl import read_jsonl

            return read_jsonl(text, fields, self.limits)
        from data_prep.read.delimited import read_csv

        return read_csv(text, fields, self.limits)
