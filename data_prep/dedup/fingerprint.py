"""Stage `fingerprint`: what deduplication needs of each part, with the keys already in order.

    ids.npy, id_rows.npy              xxh3-128 of the documents' own ids; uint64 [m, 2], uint32 [m]
    content.npy, content_rows.npy     hashes of the texts; uint64 [n, 2], uint32 [n]
    hash.npy                          their first 64 bits by row; uint64 [n]
    bands.npy, band_rows.npy          with near-duplicates: uint64 and uint32 [bands, m]
    signature.npy                     uint16 [n, bands * rows]
    clusters.npy                      of an earlier run's corpus alone: uint64 [n]

On disk 68 bytes a document, and bands x 12 + bands x rows x 2 more with near-duplicates (676 by
default). In memory as much for the documents of one part, twice while they are sorted, and a row
group's texts. Measured on one core: 7.5 CPU seconds for all of deduplication of 100,000 texts of
3.0 KB with near-duplicates, 6.7 of them here; at 0.8 and above, .999 of 3,331 pairs were found.
"""

from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from data_prep.config import Near
from data_prep.dedup.arrays import save
from data_prep.dedup.earlier import check_ended, corpus_files, earlier_runs
from data_prep.dedup.keys import SortedKeys, sort_keys
from data_prep.dedup.layout import FINGERPRINT, near_settings
from data_prep.dedup.minhash import signatures
from data_prep.engine import Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from data_prep.ingest import all_parts
from data_prep.parts import read_part


class Fingerprint(Stage):
    """One task for a part, and one for a file of an earlier run that kept only its corpus."""

    name = FINGERPRINT

    def tasks(self) -> list[Task]:
        settings = near_settings(self.config.dedup.near)
        tasks = [
            Task(
                part.id,
                task_key(settings, part.key),
                part.text_bytes,
                {"path": str(part.path), "documents": part.documents, "earlier": False},
            )
            for part in all_parts(self.config)
        ]
        for file in corpus_files(earlier_runs(self.config)):
            key = task_key(settings, str(file.path), file.version)
            payload = {"path": str(file.path), "documents": file.documents, "earlier": True}
            tasks.append(Task(file.id, key, file.size, payload))
        return tasks

    def begin(self, tasks: list[Task]) -> None:
        check_ended(earlier_runs(self.config))

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        near = self.config.dedup.near
        prints = Fingerprints(near)
        path, earlier = Path(task.payload["path"]), task.payload["earlier"]
        columns = ["id", "hash"]
        columns += ["text"] if near.action != "none" else []
        columns += ["cluster"] if earlier else []
        seen = 0
        for batch in read_part(path, columns) if task.payload["documents"] else ():
            prints.add(batch)
            seen += batch.nbytes
            progress(min(seen, task.size), prints.documents)
        prints.write(folder)
        return {"documents": prints.documents, "settings": near_settings(near)}


class Fingerprints:
    """Gathers the fingerprints of one part."""

    def __init__(self, near: Near):
        self.documents = 0
        self._near = near
        self._gathered: dict[str, list[np.ndarray]] = {
            name: []
            for name in ("ids", "id_rows", "content", "clusters", "minima", "bands", "some")
        }

    def add(self, batch) -> None:
        """Take a pyarrow record batch with columns id, hash and, as needed, text and cluster."""
        keep = self._gathered
        content = hash_words(batch.column("hash"))
        ids = batch.column("id").to_pylist()
        hashes = batch.column("hash").to_pylist()
        # A document without an id has its hash for one: what repeats is its text.
        own = [i for i, (a, b) in enumerate(zip(ids, hashes, strict=True)) if a != b.hex()]
        digests = b"".join(xxhash.xxh3_128_digest(ids[i].encode()) for i in own)
        keep["ids"].append(_words(digests))
        keep["id_rows"].append(np.array(own, np.int64) + self.documents)
        keep["content"].append(content)
        if "cluster" in batch.schema.names:
            keep["clusters"].append(np.asarray(batch.column("cluster"), np.uint64))
        if self._near.action != "none":
            found = signatures(batch.column("text"), self._near)
            keep["minima"].append(found.minima)
            keep["bands"].append(found.bands)
            keep["some"].append(found.some)
        self.documents += len(ids)

    def write(self, folder: Path) -> None:
        """Write the files of the module's list."""
        near, count = self._near, self._near.bands * self._near.rows
        content = self._joined("content", np.empty((0, 2), np.uint64))
        ids = self._joined("ids", np.empty((0, 2), np.uint64))
        _save(folder, "ids", "id", sort_keys(ids, self._joined("id_rows", np.empty(0, np.int64))))
        _save(folder, "content", "content", sort_keys(content))
        save(folder / "hash.npy", content[:, 0])
        if self._gathered["clusters"]:
            save(folder / "clusters.npy", self._joined("clusters", np.empty(0, np.uint64)))
        if near.action != "none":
            save(folder / "signature.npy", self._joined("minima", np.empty((0, count), np.uint16)))
            rows = np.flatnonzero(self._joined("some", np.empty(0, bool)))
            keys = self._joined("bands", np.empty((0, near.bands), np.uint64))[rows]
            ordered = [sort_keys(keys[:, [band]], rows) for band in range(near.bands)]
            save(folder / "bands.npy", np.stack([band.keys[:, 0] for band in ordered]))
            save(folder / "band_rows.npy", np.stack([band.rows for band in ordered]))

    def _joined(self, name: str, empty: np.ndarray) -> np.ndarray:
        """All of one name, which are then no longer held."""
        found = self._gathered[name]
        self._gathered[name] = []
        return np.concatenate(found) if found else empty


def hash_words(column) -> np.ndarray:
    """A pyarrow binary(16) array as uint64 [n, 2]."""
    raw = np.frombuffer(column.buffers()[1], np.uint8)[column.offset * 16 :]
    return _words(raw[: len(column) * 16])


def _words(digests) -> np.ndarray:
    return np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)


def _save(folder: Path, keys: str, rows: str, found: SortedKeys) -> None:
    save(folder / f"{keys}.npy", found.keys)
    save(folder / f"{rows}_rows.npy", found.rows)
