"""Records of Parquet files: a row group after another, a few rows at a time.

In memory: the pages of the columns that are read, and rows of about 32 MiB; what a page declares is
looked at before it is decompressed. A row group that is damaged is passed over with one `Bad`.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.config import Limits
from data_prep.read.columns import SLICE_ROWS, Columns, one_line
from data_prep.read.fields import Fields
from data_prep.read.parquet_pages import largest_value
from data_prep.read.record import Bad, DamagedError, Raw
from data_prep.read.storage import ByteSource

BATCH_BYTES = 32 << 20
BUFFER_BYTES = 1 << 20
MAX_FOOTER_BYTES = 256 << 20
# Row groups, columns and the like that a footer may declare; Thrift allocates before it reads.
_MAX_LISTED = 200_000
_ERRORS = (OSError, pa.ArrowException, UnicodeDecodeError, ValueError, OverflowError)


def read_parquet(
    source: ByteSource, fields: Fields, limits: Limits, count: list[int]
) -> Iterator[Raw | Bad]:
    """The rows of a file. count[0]: bytes of the values given out."""
    raw = source.seekable()
    _check_footer(raw, source.size)
    try:
        file = pq.ParquetFile(
            pa.PythonFile(raw, mode="r"), pre_buffer=False, buffer_size=BUFFER_BYTES,
            thrift_container_size_limit=_MAX_LISTED,
        )  # fmt: skip
        groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
        paths = [group.column(n).path_in_schema for group in groups[:1]
                 for n in range(group.num_columns)]  # fmt: skip
        columns = Columns(file.schema_arrow, fields, limits, source.size)
    except _ERRORS as error:
        raise DamagedError("damaged_file", one_line(error)) from None
    if not groups:
        raise DamagedError("empty_file", "the file holds no rows")
    schema = file.schema_arrow
    # Only the leaves that are read: of a struct, not the others.
    wanted = [".".join((schema.names[c.index], *c.way)) for c in columns.found]
    leaves = [n for n, path in enumerate(paths)
              if any(path == name or path.startswith(name + ".") for name in wanted)]  # fmt: skip
    before = 0
    total = sum(group.total_byte_size for group in groups) or 1
    for number, group in enumerate(groups):
        done = 0
        try:
            rows = _rows_at_once(raw, group, leaves, limits)
            for batch in file.iter_batches(rows, [number], wanted, use_threads=False):
                columns.bind(batch.schema)
                yield from columns.rows(batch, before + done)
                done += batch.num_rows
                count[0] = columns.text_bytes
        except DamagedError as damage:
            yield Bad(before + done + 1, damage.reason, _of_group(number, group, damage.detail))
        except _ERRORS as error:
            detail = _of_group(number, group, one_line(error))
            yield Bad(before + done + 1, "damaged_file", detail)
        before += max(group.num_rows, 0)
        source.progress += int(source.size * max(group.total_byte_size, 0) / total)
    file.close()


def _check_footer(raw: BinaryIO, size: int) -> None:
    raw.seek(max(size - 8, 0))
    tail = raw.read(8)
    if tail[4:] == b"PARE":
        raise DamagedError("unknown_format", "an encrypted Parquet file")
    if len(tail) < 8 or tail[4:] != b"PAR1":
        raise DamagedError("truncated_file", "the footer of a Parquet file is missing")
    if int.from_bytes(tail[:4], "little") > min(size - 12, MAX_FOOTER_BYTES):
        raise DamagedError("damaged_file", "the footer is larger than the file, or than 256 MiB")


def _rows_at_once(
    raw: BinaryIO, group: pq.RowGroupMetaData, leaves: list[int], limits: Limits
) -> int:
    """Rows of which a batch holds about BATCH_BYTES, whatever their pages expand to."""
    longest = 0.0
    for leaf in leaves:
        longest += largest_value(raw, group.column(leaf), limits)
    return max(1, min(SLICE_ROWS, int(BATCH_BYTES / max(longest, 1))))


def _of_group(number: int, group: pq.RowGroupMetaData, detail: str) -> str:
    return f"row group {number} of {group.num_rows} rows: {detail}"
