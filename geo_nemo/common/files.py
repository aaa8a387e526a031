"""Output that is whole or absent: written beside its place, synced, then given its name.

The one home for this; an operating system's refusal becomes a `UserError` that names the path.
Records in JSON are read here too, with the same care.
"""

import errno
import gzip
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from geo_nemo.common.errors import StorageError, UserError
from geo_nemo.common.parse import parse_json

PARTIAL = ".partial"
_GZIP_LEVEL = 6
# What a file system says that has failed, where others say what the user may mend.
# slurm/train.sbatch looks for FAILED in a rank's last words.
_FAULTS = (
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENOTCONN, errno.ECOMM,
    errno.ESHUTDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNRESET, errno.ECONNABORTED,
)  # fmt: skip
FAILED = "the file system failed"


def fault_of(error: OSError) -> str:
    """What to say where a file system has failed; empty where it has refused."""
    if error.errno not in _FAULTS:
        return ""
    return f"{FAILED} ({error.strerror or error}); look at it, the same command goes on"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, such as a full disk, into a `UserError`.

    It names the file that the system names, else `path`. `StorageError` for a fault.
    """
    try:
        yield
    except OSError as error:
        # The second is where to, of a file that is moved or copied.
        told = error.filename2 or error.filename
        name = os.fsdecode(told) if isinstance(told, str | bytes) else str(path)
        reason = error.strerror or str(error)
        cannot = f"cannot write {name.removesuffix(PARTIAL)}"
        if fault := fault_of(error):
            raise StorageError(f"{cannot}: {fault}") from error
        raise UserError(f"{cannot}: {reason}; mend that or give another output") from error


def partial_of(path: Path) -> Path:
    """Where `path` is written until it is whole."""
    return path.with_name(path.name + PARTIAL)


def check_folder(folder: Path) -> None:
    """Raise `UserError` where `folder` cannot be one, for a plan that makes none."""
    with writing(folder):  # a name may be too long to be asked for
        there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if there is not None and not there.is_dir():
        raise UserError(f"cannot write in {folder}: {there} is a file; give another output")


def make_folder(folder: Path) -> None:
    """Create `folder` and those above it; `UserError` where that cannot be done."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file that is on disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that has either its old content or `content`, whatever happens.

    Raises `UserError` where it cannot be written.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: all are on disk before the first of them gets its name.

    Raises `UserError` where one cannot be written; then all are as they were.
    """
    try:
        for path, content in contents.items():
            with writing(path):
                write_synced(partial_of(path), content)
        for path in contents:
            with writing(path):
                os.replace(partial_of(path), path)
                sync_folder(path.parent)
    except BaseException:
        for path in contents:
            with suppress(OSError):
                partial_of(path).unlink(missing_ok=True)
        raise


@contextmanager
def partial_file(path: Path) -> Iterator[BinaryIO]:
    """Write `<path>.partial`, synced when the block ends and removed when it fails.

    The bytes are compressed when `path` ends in .gz, without a name or a time, so that equal
    content gives equal bytes. `keep` gives the file its own name. An error names the folder: files
    that are open together fail together.
    """
    partial = partial_of(path)
    with writing(path.parent):
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
        os.replace(partial_of(path), path)
        sync_folder(path.parent)


def discard(path: Path) -> None:
    """Remove `<path>.partial` if it is there."""
    partial_of(path).unlink(missing_ok=True)


def read_bytes(path: Path, mend: str) -> bytes:
    """What a file holds; `UserError` that ends with `mend` where the system refuses it."""
    try:
        return path.read_bytes()
    except OSError as error:
        if fault := fault_of(error):
            raise StorageError(f"cannot read {path}: {fault}") from None
        raise UserError(f"cannot read {path}: {error.strerror or error}; {mend}") from None


def read_json(path: Path, mend: str) -> dict[str, Any]:
    """The object in a JSON file; `UserError` that ends with `mend` where there is none."""
    try:
        content = parse_json(read_bytes(path, mend))
    except ValueError:
        raise UserError(f"{path} is not JSON; {mend}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; {mend}")
    return content


@contextmanager
def understood(path: Path, mend: str) -> Iterator[None]:
    """Turn what a block stumbles over in the record of `path` into a `UserError`.

    Such is a value of another type, or none; the error ends with `mend`.
    """
    try:
        yield
    except (KeyError, IndexError) as error:
        raise UserError(f"{path} lacks {error}; {mend}") from None
    except (TypeError, AttributeError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not hold what it should ({line}); {mend}") from None


def sync_file(path: Path) -> None:
    """Put what a file holds on disk."""
    _sync(path)


def sync_tree(folder: Path) -> None:
    """Put every file and folder of a tree on disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(root, name))
        sync_folder(Path(root))


def sync_folder(folder: Path) -> None:
    """Put a folder's list of names on disk."""
    _sync(folder)


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
