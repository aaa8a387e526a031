"""The files of an annotated corpus: zstd JSON Lines by split, and a summary of them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import zstandard
from pydantic import ValidationError

from geo_nemo.config.errors import UserError
from geo_nemo.config.schema import NonNegative, Section
from geo_nemo.store.manifest import SourceEntry

SUMMARY_NAME = "corpus.json"
LEVEL = 3
WRITE_BYTES = 1 << 20
READ_BYTES = 1 << 20


class CorpusFile(Section):
    """One file of a split, and its size on disk."""

    name: str
    documents: NonNegative
    bytes: NonNegative


class CorpusSplit(Section):
    """Documents of a split; `text_bytes` are those of its lines of JSON."""

    documents: NonNegative
    text_bytes: NonNegative
    by_country: dict[str, NonNegative]
    files: tuple[CorpusFile, ...]


class CorpusSummary(Section):
    """What a corpus holds and what was set aside.

    read: records read, good and bad.
    text_bytes: bytes of the input after decompression.
    quarantine: records and files set aside, by reason.
    evidence: documents by what told their country.
    continents_replaced: documents whose own continent was another that their country also has.
    countries: continent by country.
    """

    read: NonNegative
    text_bytes: NonNegative
    quarantine: dict[str, NonNegative]
    evidence: dict[str, NonNegative]
    continents_replaced: NonNegative
    countries: dict[str, str]
    splits: dict[str, CorpusSplit]
    sources: tuple[SourceEntry, ...]


class LinesOut:
    """A zstd file of lines, compressed as they come."""

    def __init__(self, path: Path, level: int = LEVEL):
        self._file = path.open("wb")
        self._compressor = zstandard.ZstdCompressor(level=level).compressobj()

    def write(self, lines: bytes) -> None:
        self._file.write(self._compressor.compress(lines))

    def close(self) -> int:
        """Close the file; its size in bytes."""
        self._file.write(self._compressor.flush())
        size = self._file.tell()
        self._file.close()
        return size


class CorpusWriter:
    """Files of one split, of at most `shard_documents` documents each."""

    def __init__(self, folder: Path, split: str, shard_documents: int):
        self.split = split
        self._folder = folder
        self._shard_documents = shard_documents
        self._by_country: Counter[str] = Counter()
        self._text_bytes = 0
        self._files: list[CorpusFile] = []
        self._out: LinesOut | None = None
        self._in_file = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def write(self, line: bytes, country: str) -> None:
        """Append a line, given without its end."""
        if self._out is None:
            self._out = LinesOut(self._folder / self._name())
        self._by_country[country] += 1
        self._in_file += 1
        self._pending.append(line)
        self._pending_bytes += len(line) + 1
        if self._in_file == self._shard_documents:
            self._finish_file()
        elif self._pending_bytes > WRITE_BYTES:
            self._flush()

    def close(self) -> CorpusSplit:
        if self._out is not None:
            self._finish_file()
        return CorpusSplit(
            documents=self._by_country.total(),
            text_bytes=self._text_bytes,
            by_country=dict(sorted(self._by_country.items())),
            files=tuple(self._files),
        )

    def _name(self) -> str:
        return f"{self.split}-{len(self._files):05d}.jsonl.zst"

    def _flush(self) -> None:
        self._pending.append(b"")
        self._out.write(b"\n".join(self._pending))
        self._text_bytes += self._pending_bytes
        self._pending, self._pending_bytes = [], 0

    def _finish_file(self) -> None:
        self._flush()
        size = self._out.close()
        self._files.append(CorpusFile(name=self._name(), documents=self._in_file, bytes=size))
        self._out, self._in_file = None, 0


def read_lines(path: Path, count: int, max_bytes: int = 1 << 24) -> Iterator[list[bytes]]:
    """Lines of a zstd file of ours, in lists of at most `count` and about `max_bytes`."""
    batch: list[bytes] = []
    size = 0
    for line in _lines(path):
        batch.append(line)
        size += len(line)
        if len(batch) == count or size > max_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_summary(folder: Path) -> CorpusSummary | None:
    """The summary of a corpus whose files have the sizes it gives; None where they have not."""
    try:
        summary = CorpusSummary.model_validate_json((folder / SUMMARY_NAME).read_bytes())
        for split in summary.splits.values():
            for file in split.files:
                if (folder / file.name).stat().st_size != file.bytes:
                    return None
    except (OSError, ValidationError):
        return None
    return summary


def _lines(path: Path) -> Iterator[bytes]:
    parts: list[bytes] = []
    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            while block := stream.read(READ_BYTES):
                *ended, rest = block.split(b"\n")
                for piece in ended:
                    yield b"".join((*parts, piece)) if parts else piece
                    parts = []
                if rest:
                    parts.append(rest)
    except zstandard.ZstdError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and prepare again") from None
