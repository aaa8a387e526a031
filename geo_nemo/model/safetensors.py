"""What safetensors hold, by their headers: plain numbers. Nothing in a file can run.

    8 bytes     length of the header, little-endian
    header      {"name": {"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}, ...}
    numbers     row by row, at those offsets

Format: github.com/huggingface/safetensors, whose library reads the numbers. It tells no offsets,
and reads no bf16 without torch: what a folder is must be known before either.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_LONGEST_HEADER = 100_000_000
_SAMPLE = 1 << 12


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of a file: its type by safetensors' name, its shape, and where its bytes begin."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * _BYTES[self.dtype]

    def whole(self) -> np.ndarray:
        """The tensor in fp32."""
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            return file.get_tensor(self.name).float().numpy()

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
            header = parse_json(file.read(length))
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
    if told["dtype"] not in _BYTES:
        raise ValueError(f"{name} is of type {told['dtype']}")
    shape = tuple(told["shape"])
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"{name} has the shape {list(shape)}")
    entry = Entry(path, name, told["dtype"], shape, data + begin)
    if begin < 0 or end - begin != entry.size or data + end > size:
        raise ValueError(f"{name} does not lie within it")
    return entry
