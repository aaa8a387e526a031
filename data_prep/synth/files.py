"""Output files that appear whole or not at all."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from geo_nemo.config import UserError

PARTIAL = ".partial"
_GZIP_LEVEL = 6


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into one clear line.

    The line names the folder: files that are open together fail together.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot write into {path.parent}: {reason}; mend that or give another output="
        ) from error


@contextmanager
def partial_file(path: Path) -> Iterator[BinaryIO]:
    """Write `<path>.partial`, synced when the block ends and removed when it fails.

    The bytes are compressed when `path` ends in .gz, without a name or a time, so that equal
    content gives equal bytes. `keep` gives the file its own name.
    """
    partial = path.with_name(path.name + PARTIAL)
    with writing(path):
        try:
            with open(partial, "wb") as raw:
                if path.suffix == ".gz":
                    with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed:
                        yield packed
                else:
                    yield raw
                raw.flush()
                os.fsync(raw.fileno())
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def keep(path: Path) -> None:
    """Give a finished `<path>.partial` its own name."""
    with writing(path):
        os.replace(path.with_name(path.name + PARTIAL), path)


def discard(path: Path) -> None:
    """Remove `<path>.partial` if it is there."""
    path.with_name(path.name + PARTIAL).unlink(missing_ok=True)
