"""Finished (run, condition) results in the output folder, so that a stopped evaluation goes on.

A result is used again only when its key is equal: the key covers checkpoint, store, policy,
condition, documents, tokens and the records shown.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from geo_nemo.common.files import make_folder, write_whole

FORMAT = 1


def key_of(values: dict[str, Any]) -> str:
    """Sixteen hex digits of `values`; arrays count with their content."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
            return [str(value.dtype), list(value.shape), content]
        raise TypeError(f"{type(value)} has no key")

    canonical = json.dumps({"format": FORMAT, **values}, sort_keys=True, default=plain)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Cache:
    """Named arrays under `folder`, one file a result; a result with another key is replaced."""

    def __init__(self, folder: Path):
        self.folder = folder

    def load(self, name: str, key: str) -> dict[str, np.ndarray] | None:
        """The result `name`, if it is there, whole and has this key."""
        try:
            with np.load(self.folder / f"{name}.npz", allow_pickle=False) as found:
                if str(found["key"]) == key:
                    return {field: found[field] for field in found.files if field != "key"}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass
        return None

    def save(self, name: str, key: str, arrays: dict[str, np.ndarray]) -> None:
        make_folder(self.folder)
        content = io.BytesIO()
        np.savez(content, key=np.array(key), **arrays)
        write_whole(self.folder / f"{name}.npz", content.getvalue())
