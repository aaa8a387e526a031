"""Arrays in files of their own, written once and then read where they lie."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from geo_nemo.common.errors import UserError


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
    """The array of a .npy file, memory-mapped. UserError where it is missing or damaged."""
    try:
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError:  # an empty array has nothing to map
            return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}): delete its folder and run geo-nemo prep again"
        ) from None
