"""Arrays in files of their own, written once and then read where they lie."""

import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from geo_nemo.common.errors import UserError
from geo_nemo.common.mapped import mapped


class _Writing:
    """A file for numpy to write to piece by piece: what it writes at once to a file of the system
    fails on a full disk without the system's reason."""

    def __init__(self, file: BinaryIO):
        self.write = file.write


def save(path: Path, array: np.ndarray) -> None:
    """Write one .npy file."""
    with path.open("wb") as file:
        np.lib.format.write_array(_Writing(file), np.ascontiguousarray(array), allow_pickle=False)


def load(path: Path) -> np.ndarray:
    """The array of a .npy file that `save` wrote, memory-mapped, read-only.

    It holds no descriptor: a corpus has thousands of parts, with several arrays each. UserError
    where the file is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        values = mapped(path, np.uint8)[start : start + math.prod(shape) * dtype.itemsize]
        return values.view(dtype).reshape(shape)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}): remove its folder, repeat geo-nemo prep run"
        ) from None
