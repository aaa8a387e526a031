"""Files as read-only arrays that hold no descriptor: a store has thousands of columns.

Python's own maps keep a duplicate of the file's descriptor until version 3.13, and most systems
let a process have 1,024 of them. So the system's `mmap` is asked by itself.
"""

import ctypes
import mmap
import os
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_FAILED = ctypes.c_void_p(-1).value


def mapped(path: str | Path, dtype: Any) -> np.ndarray:
    """The values of a file, [n], read-only; of an empty file, which cannot be mapped, none.

    A last value that is cut off is left out. The map ends with the last array that shows it.
    Raises OSError.
    """
    dtype = np.dtype(dtype)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        count = size // dtype.itemsize
        if not count:
            return np.empty(0, dtype)
        address = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if address == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)
    held = (ctypes.c_ubyte * size).from_address(address)
    # Not at the end of the process: others may still read then.
    weakref.finalize(held, _libc().munmap, address, size).atexit = False
    values = np.frombuffer(held, dtype, count)
    values.flags.writeable = False
    return values


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    ]  # fmt: skip
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc
