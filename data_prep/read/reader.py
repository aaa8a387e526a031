"""The reader of one file, whatever its format."""

from collections.abc import Iterator

from data_prep.config import Limits
from data_prep.config.input import AUTO
from data_prep.quarantine import Rejected
from data_prep.read.brought import Brought
from data_prep.read.detect import detect, refuse_foreign
from data_prep.read.formats import ours
from data_prep.read.opened import Opened
from data_prep.read.record import Bad, DamagedError, InputFile, Raw, RecordReader
from data_prep.read.s3 import SCHEME, S3File
from data_prep.read.storage import ByteSource, LocalFile

# Formats whose files are cut, by how; see data_prep.read.borders.
_OF_PIECES = {"lines": "jsonl", "records": "warc", "members": "warc"}


def open_reader(file: InputFile, limits: Limits) -> RecordReader:
    """The reader of `file`; it opens the file when it is iterated over."""
    return FileReader(file, limits)


class FileReader:
    """Records of a file, up to its end or to where it is damaged; see RecordReader."""

    def __init__(self, file: InputFile, limits: Limits):
        self.file = file
        self.limits = limits
        self.digest = ""
        self._opened: Opened | None = None
        self._source: ByteSource | None = None

    @property
    def seen(self) -> tuple[str, ...]:
        """What the file calls the fields of its records, as far as was read."""
        return self._opened.fields.seen if self._opened is not None else ()

    def explained(self, verdict: Rejected) -> Rejected:
        """The same verdict; of a field that is missing, with what the file has instead."""
        if self._opened is None:
            return verdict
        detail = self._opened.fields.explained(verdict.reason, verdict.detail)
        return Rejected(verdict.reason, detail)

    @property
    def note(self) -> str:
        return self._opened.note if self._opened is not None else ""

    @property
    def bytes_read(self) -> int:
        source = self._source
        return max(source.bytes_read, source.progress) if source is not None else 0

    @property
    def text_bytes(self) -> int:
        return self._opened.text_bytes if self._opened is not None else 0

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
        opened = self._opened = Opened(self.file, source, self.limits)
        piece, given = self.file.piece, self.file.source.format
        if piece and piece[0] == "groups":
            return ours()["parquet"]().read(opened)
        if piece and not source.size:
            return iter(())
        if given != AUTO and given not in ours():
            return Brought(self.file.source, opened).records()
        stream = opened.stream
        if not stream.peek(1):
            # Damage before the first byte is raised here.
            stream.read(1)
            raise DamagedError("empty_file", "the file holds nothing")
        opened.found = given == AUTO
        if opened.found:
            given = _OF_PIECES[piece[0]] if piece else detect(stream, opened.name)
        kind = ours()[given]
        if kind.packed or stream.compression:
            refuse_foreign(stream)
        return kind().read(opened)
