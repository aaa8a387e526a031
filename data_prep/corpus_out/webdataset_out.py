"""One WebDataset shard of the corpus: for each document `<key>.json` and `<key>.txt` in a tar.

Keys are the part and the row, so they are unique in a corpus. Headers hold no time, owner or
machine: the same documents give the same bytes. The package webdataset is not asked to write them,
for it imports torch, which preparation does without (1.9 s of CPU to import); it reads them, and
preparation what it writes: tests/unit/data_prep/corpus_out/test_webdataset_package.py.
"""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa


class WebDatasetOut:
    """Writes documents as they come; holds one batch."""

    suffix = "tar"

    def __init__(self, path: Path, part_id: str, fields: Sequence[pa.Field] = ()):
        self._part_id = part_id
        self._fields = [field.name for field in fields]
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def write(self, batch: pa.RecordBatch, cluster: np.ndarray, rows: np.ndarray) -> None:
        """Append documents: a batch of a part's schema [n], clusters uint64 [n], rows [n]."""
        documents = batch.to_pylist()
        for row, of, document in zip(rows.tolist(), cluster.tolist(), documents, strict=True):
            key = f"{self._part_id}-{row:09d}"
            text = document.pop("text")
            document["hash"] = document["hash"].hex()
            for name in self._fields:
                if document[name] is None:
                    del document[name]
            # As text: JSON's numbers have 53 bits for many readers.
            document["cluster"] = f"{of:016x}"
            self._add(f"{key}.json", orjson.dumps(document))
            self._add(f"{key}.txt", text.encode())

    def close(self) -> None:
        self._tar.close()

    def _add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        member.mode = 0o644
        self._tar.addfile(member, io.BytesIO(content))
