"""Records of Parquet files: a row group after another, a few rows at a time.

In memory: a page of each column that is read, and rows of about 32 MiB; what a page declares is
looked at before it is decompressed. A row group that is damaged is passed over with one `Bad`.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.config import Limits
from data_prep.read.columns import SLICE_ROWS, Columns, one_line, refused
from data_prep.read.fields import Fields
from data_prep.read.parquet_footer import Group, read_groups
from data_prep.read.parquet_pages import value_bytes
from data_prep.read.record import Bad, DamagedError, Raw
from data_prep.read.storage import ByteSource

# As a rule, and where every value of a batch is the largest of its page's dictionary.
BATCH_BYTES, MAX_BATCH_BYTES = 32 << 20, 256 << 20
BUFFER_BYTES = 1 << 20
# Row groups, columns and the like that a footer may declare; Thrift allocates before it reads.
_MAX_LISTED = 200_000
_ERRORS = (OSError, pa.ArrowException, UnicodeDecodeError, ValueError, OverflowError)


def read_parquet(
    source: ByteSource,
    size: int,
    span: tuple[int, int],
    fields: Fields,
    limits: Limits,
    count: list[int],
) -> Iterator[Raw | Bad]:
    """The rows of a file of `size` bytes, of the row groups that begin within `span`.

    count[0]: bytes of the values given out.
    """
    raw = source.seekable()
    groups = read_groups(raw, size)
    try:
        file = pq.ParquetFile(
            pa.PythonFile(raw, mode="r"), pre_buffer=False, buffer_size=BUFFER_BYTES,
            thrift_container_size_limit=_MAX_LISTED, page_checksum_verification=True,
        )  # fmt: skip
        schema = file.schema_arrow
    except _ERRORS as error:
        raise refused(error) from None
    columns = Columns(schema, fields, limits, size)
    if not any(group.rows for group in groups):
        raise DamagedError("empty_file", "the file holds no rows")
    # Only the leaves that are read: of a struct, not the others.
    wanted = [".".join((schema.names[c.index], *c.way)) for c in columns.found]
    before = 0
    total = sum(group.size for group in groups) or 1
    for number, group in enumerate(groups):
        # Pages of a group without rows may stand nowhere.
        if not group.rows or not span[0] <= _start(group) < span[1]:
            before += group.rows
            continue
        done = 0
        try:
            rows = _rows_at_once(raw, group, wanted, limits)
            for batch in file.iter_batches(rows, [number], wanted, use_threads=False):
                columns.bind(batch.schema)
                yield from columns.rows(batch, before + done)
                done += batch.num_rows
                count[0] = columns.text_bytes
            if done < group.rows:
                raise DamagedError("damaged_file", f"its pages hold {done} rows")
        except DamagedError as damage:
            yield Bad(before + done + 1, damage.reason, _of_group(number, group, damage.detail))
        except _ERRORS as error:
            detail = _of_group(number, group, one_line(error))
            yield Bad(before + done + 1, "damaged_file", detail)
        before += group.rows
        source.progress += size * group.size // total
    file.close()


def _start(group: Group) -> int:
    return min((chunk.start for chunk in group.chunks), default=0)


def _rows_at_once(raw: BinaryIO, group: Group, wanted: list[str], limits: Limits) -> int:
    """Rows of which a batch holds about BATCH_BYTES, and never more than MAX_BATCH_BYTES."""
    mean = longest = 1.0
    for chunk in group.chunks:
        if any(chunk.path == name or chunk.path.startswith(name + ".") for name in wanted):
            chunk_mean, chunk_longest = value_bytes(raw, chunk, limits)
            mean, longest = mean + chunk_mean, longest + chunk_longest
    return max(1, min(SLICE_ROWS, int(BATCH_BYTES / mean), int(MAX_BATCH_BYTES / longest)))


def _of_group(number: int, group: Group, detail: str) -> str:
    return f"row group {number} of {group.rows} rows: {detail}"
