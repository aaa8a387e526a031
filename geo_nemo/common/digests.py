"""Hashes of files, read in pieces."""

from pathlib import Path

import xxhash

_CHUNK = 1 << 24


def file_digest(path: Path) -> str:
    """xxh3-128 of a file, in hex. Raises OSError where it cannot be read."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
