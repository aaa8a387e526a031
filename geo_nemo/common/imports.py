"""Imports of large libraries, which are most of a command's start."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Have nobody look for garbage meanwhile: modules leave none, and are looked through each time.

    An import of torch and Megatron-Core takes a seventh less CPU time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
