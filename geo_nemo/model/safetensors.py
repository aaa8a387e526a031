"""Reads safetensors: a header in JSON, then plain numbers. Nothing in a file can run.

    8 bytes     length of the header, little-endian
    header      {"name": {"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}, ...}
    numbers     row by row, at those offsets

Format: github.com/huggingface/safetensors. Needs no torch.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo_nemo.config import UserError

# bf16 is the upper half of fp32, which NumPy has no type for.
_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_LONGEST_HEADER = 100_000_000
_SAMPLE = 1 << 12


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of a file: its type by safetensors' name, its shape, and where its bytes begin."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * np.dtype(_TYPES[self.dtype]).itemsize

    def rows(self, first: int, last: int) -> np.ndarray:
        """Rows `first` to `last` of the tensor in fp32, [last - first, ...]; the others stay."""
        stored = _TYPES[self.dtype]
        inner = math.prod(self.shape[1:])
        values = np.fromfile(
            self.path,
            dtype=np.dtype(stored).newbyteorder("<"),
            count=(last - first) * inner,
            offset=self.begin + first * inner * np.dtype(stored).itemsize,
        )
        values = values.reshape(last - first, *self.shape[1:])
        if self.dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)

    def whole(self) -> np.ndarray:
        """All of it."""
        return self.rows(0, self.shape[0])

    def sample(self) -> bytes:
        """Its first and its last bytes: enough to tell two trainings apart."""
        with self.path.open("rb") as file:
            file.seek(self.begin)
            start = file.read(min(_SAMPLE, self.size))
            file.seek(self.begin + max(self.size - _SAMPLE, 0))
            return start + file.read(min(_SAMPLE, self.size))


def read_entries(path: Path) -> dict[str, Entry]:
    """The tensors of a file by name. `UserError` where it is no safetensors, or is cut off."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
                raise ValueError("no header")
            header = json.loads(file.read(length))
        return {
            name: _entry(path, name, told, 8 + length, size)
            for name, told in header.items()
            if name != "__metadata__"
        }
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no safetensors file, or is cut off: {error}") from None


def folder_entries(folder: Path) -> dict[str, Entry]:
    """The tensors of every `*.safetensors` in a folder; `UserError` where two have one name."""
    found: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, entry in read_entries(path).items():
            if name in found:
                raise UserError(f"{name} is in {found[name].path} and in {path}: remove one")
            found[name] = entry
    return found


def identity(entries: dict[str, Entry]) -> str:
    """Sixteen hex digits of names, types, shapes and a sample of each tensor's bytes."""
    digest = hashlib.sha256()
    for name in sorted(entries):
        entry = entries[name]
        digest.update(json.dumps([name, entry.dtype, entry.shape]).encode())
        digest.update(entry.sample())
    return digest.hexdigest()[:16]


def _entry(path: Path, name: str, told: dict, data: int, size: int) -> Entry:
    begin, end = told["data_offsets"]
    if told["dtype"] not in _TYPES:
        raise ValueError(f"{name} is of type {told['dtype']}")
    shape = tuple(told["shape"])
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"{name} has the shape {list(shape)}")
    entry = Entry(path, told["dtype"], shape, data + begin)
    if begin < 0 or end - begin != entry.size or data + end > size:
        raise ValueError(f"{name} does not lie within it")
    return entry
