"""Parts: Parquet files of documents that one stage hands to the next, with COUNTS of each.

They are not compressed: that would take longer than all else that is done with a part but reading
its records and tokenising them, and every stage that reads texts would pay for it again.
"""

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_prep.document import MASK_COUNTS, Document
from geo_nemo.common.errors import UserError

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("domain", pa.string()),
        ("path", pa.string()),
        ("country", pa.string()),
        ("continent", pa.string()),
        ("evidence", pa.string()),
        ("confidence", pa.float32()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("date", pa.string()),
        ("year", pa.int16()),
        ("quality", pa.uint8()),
        ("source", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("hash", pa.binary(16)),
    ]
)
NAMES = tuple(SCHEMA.names)
# So that no text is read again to count. The first two are of the text, in UTF-8 and in Unicode.
COUNTS = ("text_bytes", "characters", *MASK_COUNTS.values())
PART_SCHEMA = pa.schema([*SCHEMA, *((name, pa.uint32()) for name in COUNTS)])
# A row group is what is in memory at once, here and wherever a part is read.
ROW_GROUP_DOCUMENTS, ROW_GROUP_BYTES = 4096, 16 << 20
# Of a field, its value of a document.
_FIELDS = {name: attrgetter(name) for name in (*NAMES, *MASK_COUNTS.values())}
# Columns of few values; a dictionary of the others would only cost time.
_DICTIONARY = ["host", "domain", "country", "continent", "evidence", "language", "source"]


@dataclass(frozen=True)
class Part:
    """A part and how much it holds. text_bytes: UTF-8 bytes of its texts."""

    path: Path
    documents: int
    text_bytes: int


class PartWriter:
    """Writes `part-00000.parquet`, ... of at most `max_documents` documents into `folder`.

    settle: is called before documents that were added are read; until then they may change.
    fields: of the user's own, each a column of text behind the others.
    """

    def __init__(
        self,
        folder: Path,
        max_documents: int,
        settle: Callable[[], None] = lambda: None,
        fields: Sequence[str] = (),
    ):
        self._fields = tuple(fields)
        self._schema = part_schema(fields)
        self.parts: list[Part] = []
        self._folder = folder
        self._max_documents = max_documents
        self._writer: pq.ParquetWriter | None = None
        self._settle = settle
        self._added: list[Document] = []
        self._added_bytes = self._other_bytes = 0
        self._documents = self._text_bytes = 0

    def add(self, document: Document) -> None:
        self._added.append(document)
        self._added_bytes += len(document.text)
        # As a rule they are short; a title or an id may be as long as a record.
        self._other_bytes += len(document.title) + len(document.id)
        count = len(self._added)
        full = self._documents + count == self._max_documents
        large = max(self._added_bytes, self._other_bytes) > ROW_GROUP_BYTES
        if full or count == ROW_GROUP_DOCUMENTS or large:
            self._flush()
            if full:
                self._finish()

    def close(self) -> list[Part]:
        """Finish the last part; all parts."""
        self._flush()
        if self._writer is not None:
            self._finish()
        return self.parts

    def abandon(self) -> None:
        """Close the file after an error, leaving it as it is."""
        if self._writer is not None:
            self._writer.close()

    def _path(self) -> Path:
        return self._folder / f"part-{len(self.parts):05d}.parquet"

    def _flush(self) -> None:
        if not self._added:
            return
        self._settle()
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path(), self._schema, compression="none",
                use_dictionary=[*_DICTIONARY, *self._fields],
                write_statistics=False,
            )  # fmt: skip
        table = _table(self._added, self._fields, self._schema)
        self._writer.write_table(table)
        self._documents += len(self._added)
        self._text_bytes += pc.sum(table["text_bytes"]).as_py()
        self._added, self._added_bytes, self._other_bytes = [], 0, 0

    def _finish(self) -> None:
        self._writer.close()
        self.parts.append(Part(self._path(), self._documents, self._text_bytes))
        self._writer = None
        self._documents = self._text_bytes = 0


def part_schema(fields: Sequence[str]) -> pa.Schema:
    """The schema of a part whose documents have these fields of the user's own."""
    return pa.schema([*PART_SCHEMA, *((name, pa.string()) for name in fields)])


def _table(documents: list[Document], fields: Sequence[str], schema: pa.Schema) -> pa.Table:
    columns: dict[str, list] = {n: list(map(value, documents)) for n, value in _FIELDS.items()}
    columns["characters"] = list(map(len, columns["text"]))
    arrays = {n: pa.array(v, PART_SCHEMA.field(n).type) for n, v in columns.items()}
    for name in fields:
        own = [document.fields and document.fields.get(name) for document in documents]
        arrays[name] = pa.array(own, pa.string())
    arrays["text_bytes"] = pc.binary_length(arrays["text"]).cast(pa.uint32())
    return pa.Table.from_arrays([arrays[n] for n in schema.names], schema=schema)


def read_part(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The row groups of a part, one batch each. UserError where it is damaged."""
    with _opened(path) as (file, mapped):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns, use_threads=False)
            # What was read stays in the kernel's cache and is no longer this process's.
            mapped.madvise(mmap.MADV_DONTNEED)
            yield from table.combine_chunks().to_batches()  # none where the group is empty


def read_rows(path: Path, rows: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Some documents of a part by their numbers; only their row groups are read. Its errors."""
    found = {}
    with _opened(path) as (file, _):
        start = 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            here = [row for row in rows if start <= row < stop]
            if here:
                table = file.read_row_group(group, columns=list(columns), use_threads=False)
                some = table.take([row - start for row in here]).to_pylist()
                found.update(zip(here, some, strict=True))
            start = stop
    return [found[row] for row in rows]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[pq.ParquetFile, mmap.mmap]]:
    try:
        with path.open("rb") as opened:
            # Mapped, a page of text is copied once, into the row group.
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        with pq.ParquetFile(pa.BufferReader(mapped)) as file:
            yield file, mapped
    except FileNotFoundError:
        raise UserError(f"{path} is missing: repeat geo-nemo prep run") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is damaged ({reason}): delete it and prepare again") from None
