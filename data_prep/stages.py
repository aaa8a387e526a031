"""Stages that are there whole or not at all: a lock, a folder built aside, one rename.

A stage's key is a hash of all it depends on. The folder of a finished stage holds it in
`stage.json`; a later run with the same key takes the folder as it is.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from geo_nemo.config.errors import UserError

STAGE_NAME = "stage.json"
LOCK_NAME = ".lock"


def stage_key(*parts: str) -> str:
    """Sixteen hex digits that change with any of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold `output` (made if need be) against other runs, until the block or the process ends."""
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / LOCK_NAME).open("ab")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"output={output} is in use by another run: wait for it, or give another output"
            ) from None
        except OSError as error:
            raise UserError(f"cannot lock output={output}: {error.strerror}") from None
        yield
    finally:
        lock.close()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, such as a full disk, into a UserError that names the path."""
    try:
        yield
    except OSError as error:
        name = error.filename or path
        raise UserError(f"cannot write {name}: {error.strerror or error}") from None


def stage_is_whole(folder: Path, key: str) -> bool:
    """Whether `folder` is a finished stage with this key."""
    return _finished_key(folder) == key


def build_stage(folder: Path, key: str, build: Callable[[Path], None]) -> None:
    """Call `build` with an empty `<folder>.partial`, then move that into the place of `folder`.

    Raises UserError where `folder` exists and no stage of ours made it. Whatever stops `build`,
    `folder` stays as it was.
    """
    check_replaceable(folder)
    partial, old = _sibling(folder, ".partial"), _sibling(folder, ".old.partial")
    with writing(folder):
        for leftover in (partial, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.mkdir()
        try:
            build(partial)
            write_synced(partial / STAGE_NAME, orjson.dumps({"key": key}))
            _sync_tree(partial)
            if folder.exists():
                os.replace(folder, old)
            os.replace(partial, folder)
            _sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """UserError where something stands in `folder` that no stage of ours made."""
    if folder.exists() and _finished_key(folder) is None:
        raise UserError(f"{folder} exists and was not made by geo-nemo prep: give another output")


def write_synced(path: Path, content: bytes) -> None:
    """Write a file that is on disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _finished_key(folder: Path) -> str | None:
    try:
        key = orjson.loads((folder / STAGE_NAME).read_bytes())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


def _sibling(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def _sync_tree(folder: Path) -> None:
    """Put every file and folder of a tree on disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(root))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
