"""One Parquet file of the corpus: the columns of a part, and each document's cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.parts import ROW_GROUP_BYTES, ROW_GROUP_DOCUMENTS, SCHEMA

CLUSTER = pa.field("cluster", pa.uint64())
CORPUS_SCHEMA = SCHEMA.append(CLUSTER)
_DICTIONARY = [
    "host", "domain", "country", "continent", "evidence", "date", "language", "source",
]  # fmt: skip
_LEVEL = 3


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How a file of the corpus is compressed; fields of the user's own stand behind the others."""
    own = list(schema)[len(CORPUS_SCHEMA) :]
    names = [f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in own]
    return {
        "compression": "zstd",
        "compression_level": _LEVEL,
        "use_dictionary": [*_DICTIONARY, *names],
        "write_statistics": False,
    }


class ParquetOut:
    """Writes documents as they come, in row groups; holds one row group."""

    suffix = "parquet"

    def __init__(self, path: Path, part_id: str, fields: Sequence[pa.Field] = ()):
        """fields: of the user's own, which stand behind the others."""
        self._schema = pa.schema([*CORPUS_SCHEMA, *fields])
        self._writer = pq.ParquetWriter(path, self._schema, **parquet_options(self._schema))
        self._held: list[pa.RecordBatch] = []
        self._documents = self._bytes = 0

    def write(self, batch: pa.RecordBatch, cluster: np.ndarray, rows: np.ndarray) -> None:
        """Append documents: a batch of a part's schema [n], clusters uint64 [n], rows [n]."""
        both = batch.append_column(CLUSTER, pa.array(cluster, pa.uint64()))
        self._held.append(both.select(self._schema.names))
        self._documents += len(batch)
        self._bytes += batch["text"].get_total_buffer_size()
        if self._documents >= ROW_GROUP_DOCUMENTS or self._bytes > ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held).combine_chunks())
        self._held, self._documents, self._bytes = [], 0, 0
