"""Packed sequences as shards of webdataset, for trainers that stream from object storage.

    OUT/rows-000000.tar   a sequence each NUMBER.*.npy: tokens, labels, loss_mask, cu_seqlens,
                          group_ids
    OUT/rows.json         what they are: policy, store, numbers, size and SHA-256 of each shard

The folder is built aside and renamed. Headers hold neither a time nor a machine: the same sequences
give the same bytes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import read_json, understood, write_whole
from geo_nemo.common.folders import building
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.sequences import PackedSequence

INDEX, PATTERN = "rows.json", "rows-%06d.tar"
# Of a sequence; the others follow from these: positions begin anew at each of cu_seqlens.
STORED = ("tokens", "labels", "loss_mask", "cu_seqlens", "group_ids")
_TYPES = {"tokens": np.int32, "labels": np.int32, "loss_mask": np.uint8}


@dataclass(frozen=True)
class Written:
    """What an export holds."""

    sequences: int
    shards: int
    bytes: int


def write_sequences(
    sequences: StageDataset,
    out: Path,
    about: dict[str, Any],
    sequences_per_shard: int = 4096,
    progress: Progress = no_progress,
) -> Written:
    """Write all. about: for the index. Raises `UserError` where `out` is there already."""
    from webdataset import ShardWriter

    if out.exists():
        raise UserError(f"{out} is there already: remove it, or give another --out")
    with building(out) as partial:
        with ShardWriter(
            str(partial / PATTERN), maxcount=sequences_per_shard, maxsize=1 << 40, verbose=0,
            user="", group="", mtime=0,
        ) as writer:  # fmt: skip
            for number in range(len(sequences)):
                sample = stored(sequences[number], sequences.policy.has_weights)
                writer.write({"__key__": f"{number:012d}", **sample})
                if number % 256 == 0:
                    progress("export", number, len(sequences))
        shards = sorted(partial.glob("rows-*.tar"))
        index = {
            **about,
            "rows": len(sequences),
            "seq_length": sequences.data.seq_length,
            "groups": list(sequences.groups.names),
            "shards": [
                {"path": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)}
                for path in shards
            ],
        }
        write_whole(partial / INDEX, (json.dumps(index, indent=2) + "\n").encode())
    progress("export", len(sequences), len(sequences))
    return Written(len(sequences), len(shards), sum(entry["bytes"] for entry in index["shards"]))


def stored(sequence: PackedSequence, weighted: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a sequence by the names of a sample's files.

    weighted: its loss_mask holds weights other than 0 and 1, and stays float32.
    """
    types = _TYPES | {"loss_mask": np.float32} if weighted else _TYPES
    return {
        f"{name}.npy": np.asarray(getattr(sequence, name)).astype(
            types.get(name, getattr(sequence, name).dtype)
        )
        for name in STORED
    }


def read_sequence(sample: dict[str, Any]) -> dict[str, np.ndarray]:
    """tokens, labels, position_ids, loss_mask, group_ids [s] and cu_seqlens of a sample.

    sample: as webdataset decodes it, or its bytes.
    """
    import io

    found = {}
    for name in STORED:
        value = sample[f"{name}.npy"]
        found[name] = (
            np.load(io.BytesIO(value), allow_pickle=False) if isinstance(value, bytes) else value
        )
    starts = found["cu_seqlens"][:-1]
    sizes = np.diff(found["cu_seqlens"])
    found["position_ids"] = np.arange(len(found["tokens"])) - np.repeat(starts, sizes)
    return found


def open_sequences(folder: Path, handler: Callable | None = None) -> Any:
    """A webdataset of the shards; each goes to one node and one worker. Keys are numbers."""
    import webdataset

    return webdataset.WebDataset(
        [str(path) for path in _shards(folder)],
        shardshuffle=False,
        nodesplitter=webdataset.split_by_node,
        workersplitter=webdataset.split_by_worker,
        empty_check=False,
        **({"handler": handler} if handler else {}),
    )


def _shards(folder: Path) -> Iterator[Path]:
    again = "export the rows anew"
    index = read_json(folder / INDEX, again)
    with understood(folder / INDEX, again):
        entries = [(Path(entry["path"]).name, int(entry["bytes"])) for entry in index["shards"]]
    for name, size in entries:
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise UserError(f"{path} is missing or cut off: copy the folder anew")
        yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
