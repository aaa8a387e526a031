"""Records of Arrow IPC files and streams, a record batch at a time."""

from collections.abc import Iterator

import pyarrow as pa

from data_prep.config import Limits
from data_prep.read.arrow_messages import Messages
from data_prep.read.columns import Columns, refused
from data_prep.read.fields import Fields
from data_prep.read.record import Bad, DamagedError, Raw
from data_prep.read.storage import ByteSource
from data_prep.read.unpack import Unpacked

_ERRORS = (OSError, pa.ArrowException, UnicodeDecodeError, ValueError, OverflowError)


def read_arrow(
    stream: Unpacked, fields: Fields, limits: Limits, source: ByteSource
) -> Iterator[Raw | Bad]:
    """The rows of a stream, or of a file. DamagedError where it has no proper schema."""
    file_bytes = source.size
    messages = Messages(stream, limits, None if stream.compression else source.seekable)
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(messages.first()))
        wanted = sorted({c.index for c in Columns(schema, fields, limits, file_bytes).found})
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        reader = pa.ipc.open_stream(pa.PythonFile(messages, mode="r"), options=options)
        columns = Columns(reader.schema, fields, limits, file_bytes)
    except _ERRORS as error:
        raise messages.failure or refused(error) from None
    before = 0
    try:
        while (batch := _next(reader, messages)) is not None:
            yield from columns.rows(batch, before)
            before += batch.num_rows
        messages.check_end()
        if not before:
            yield Bad(0, "empty_file", "the file holds no rows")
    except DamagedError as damage:
        yield Bad(before + 1, damage.reason, damage.detail)


def _next(reader: pa.RecordBatchReader, messages: Messages) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None
    except _ERRORS as error:
        raise messages.failure or refused(error) from None
