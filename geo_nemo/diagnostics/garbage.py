"""What of runs, preparations, fetched stores and indices of texts may go: found, and removed.

What goes can be made again, or was left by a process that is no more. A folder whose lock is held
is left alone; so is everything behind a symbolic link. A thing is renamed and then deleted, so that
what is there is whole, whenever the removal is cut short; the next one goes on with what has that
name.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from pydantic import ValidationError

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import PARTIAL, sync_folder
from geo_nemo.common.lock import LOCK_NAME, folder_lock, is_alive, trying_lock
from geo_nemo.config import Run
from geo_nemo.data.parts import index_folder, index_places
from geo_nemo.diagnostics.files import json_object_or_none
from geo_nemo.diagnostics.status import is_run
from geo_nemo.store.manifest import TEXTS_NAME, TEXTS_SUFFIX, read_manifest
from geo_nemo.store.verify import check_sizes
from geo_nemo.train.checkpoint.files import checkpoints, newest_whole, shape_problem, to_drop

# What this command is removing, or was.
LEAVING = ".gc" + PARTIAL
SPLIT = "train"
WORK = "work"


@dataclass(frozen=True, slots=True)
class Garbage:
    """bytes: that its removal frees; what has a second name elsewhere frees none."""

    path: Path
    why: str
    bytes: int


def find_garbage(
    folder: Path, caches: bool = False, tell: Callable[[str], None] = lambda line: None
) -> list[Garbage]:
    """What may go of a folder, whose lock is held meanwhile.

    caches: what is in use, too, and can be had again: copies of stores, indices of texts. tell: of
    what is left alone.
    Raises `UserError` where the folder is none of the kinds, or another process writes in it.
    """
    look = _kind(folder)
    with _held(folder, look):
        found = list(look(folder.resolve(), caches, tell))
    return [
        Garbage(path, why, _freed(path))
        for path, why in found
        if not _is_behind_link(path, folder.resolve(), tell)
    ]


def remove_garbage(
    folder: Path, chosen: list[Garbage], caches: bool = False
) -> tuple[list[Garbage], list[str]]:
    """Remove those of `chosen` that may still go; what has gone, and why others have not."""
    look = _kind(folder)
    gone, problems = [], []
    with _held(folder, look):
        still = dict(look(folder.resolve(), caches, lambda line: None))
        for each in chosen:
            if each.path not in still:
                problems.append(f"{each.path}: is no longer to go")
                continue
            if _is_behind_link(each.path, folder.resolve(), lambda line: None):
                problems.append(f"{each.path}: leads out by a symbolic link")
                continue
            alone = trying_lock(_lock_of(each.path)) if look is _of_cache else nullcontext()
            try:
                with alone:
                    _remove(each.path)
                gone.append(each)
            except BlockingIOError:
                problems.append(f"{each.path}: is being fetched")
            except OSError as error:
                problems.append(f"{each.path}: cannot be removed: {error.strerror or error}")
    return gone, problems


Look = Callable[[Path, bool, Callable[[str], None]], Iterator[tuple[Path, str]]]


def _kind(folder: Path) -> Look:
    try:
        names = set(os.listdir(folder))
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}; give another folder") from None
    if is_run(folder):
        return _of_run
    if {"report.json", "store"} <= names or WORK in names:
        return _of_preparation
    if "stores" in names:
        return _of_cache
    if has_text_indices(folder):
        return _of_stores
    raise UserError(
        f"{folder} is no training's output_dir, no preparation's output, no folder of fetched "
        "stores, and has no index of geo-nemo trace: give one of these"
    )


def _held(folder: Path, look: Look) -> AbstractContextManager[None]:
    # Fetched stores have a lock each, which is asked for where one is to go.
    return nullcontext() if look in (_of_cache, _of_stores) else folder_lock(folder.resolve())


def _of_run(folder: Path, caches: bool, tell: Callable[[str], None]) -> Iterator[tuple[Path, str]]:
    yield from _leftovers(folder, tell)
    record = json_object_or_none(folder / "run.json") or {}
    try:
        run = Run.model_validate(record.get("config"))
    except ValidationError:
        tell(f"{folder}: run.json has no settings that can be read: what it keeps is not known")
        return
    directory = folder / "checkpoints"
    if directory.is_dir() and not directory.is_symlink():
        yield from _leftovers(directory, tell)
        yield from _old_checkpoints(directory, run, tell)
    if run.data.index_dir is None and isinstance(record.get("store_hash"), str):
        yield from _old_indices(folder / "index", run, record["store_hash"])


def _old_checkpoints(
    directory: Path, run: Run, tell: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    keep = run.checkpoint
    damaged = [path.name for path in checkpoints(directory) if _shape_problem(path)]
    if len(checkpoints(directory)) - len(damaged) <= keep.keep_last:
        return
    # Every byte of the one that stays is read before another one may go.
    newest = newest_whole(directory, tell)
    if newest is None:
        return
    for path in to_drop(directory, newest, keep.keep_last, keep.keep_best, damaged):
        if path != newest:
            best = f" and checkpoint.keep_best={keep.keep_best}" if keep.keep_best else ""
            yield path, f"older than checkpoint.keep_last={keep.keep_last}{best} ask for"


def _shape_problem(path: Path) -> str:
    try:
        return shape_problem(path)
    except UserError as error:
        return str(error)


def _old_indices(folder: Path, run: Run, store_hash: str) -> Iterator[tuple[Path, str]]:
    """Indices of other settings than the run's, and builds whose process is no more."""
    if not folder.is_dir() or folder.is_symlink():
        return
    # Its name goes by the settings and the store's hash alone, not by the store itself.
    split = SimpleNamespace(name=SPLIT, num_documents=0)
    own = run.model_copy(update={"output_dir": str(folder.parent)})
    names = {
        place.path.name
        for stage in run.stages
        for place in index_places(own, store_hash, split, stage)
    }
    assert index_folder(own) == folder
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".damaged")
        base, _, builder = name.rpartition(".")
        if name.endswith((".lock", PARTIAL)):
            continue
        if "-" in builder and base:
            if _is_dead(builder):
                yield path, "the build of an index, left by a process that is no more"
        elif path.is_dir() and (path / "index.json").exists() and name not in names:
            yield path, "an index of other settings or stages than the run has"


def _is_dead(builder: str) -> bool:
    """Whether the process of `host-pid` is known to be no more."""
    host, _, pid = builder.rpartition("-")
    return host == socket.gethostname() and pid.isdigit() and not is_alive(int(pid))


def _of_preparation(
    folder: Path, caches: bool, tell: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    yield from _leftovers(folder, tell)
    yield from _text_indices(folder, caches, tell)
    work = folder / WORK
    if not work.exists():
        return
    if not (folder / "report.json").exists():
        tell(f"{work}: stays, the preparation is not finished")
        return
    try:
        manifest, _ = read_manifest(folder / "store")
        check_sizes(folder / "store", manifest)
    except UserError as error:
        tell(f"{work}: stays, the store is not whole: {error}")
        return
    yield work, "the store is whole; without it a preparation with more input begins anew"


def _of_cache(
    folder: Path, caches: bool, tell: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    stores = folder / "stores"
    if stores.is_symlink():
        return
    for path in sorted(stores.iterdir()):
        if path.name.endswith(".lock") or not path.is_dir():
            continue
        try:
            with trying_lock(_lock_of(path)):
                pass
        except OSError:
            tell(f"{path}: is being fetched, or is not ours to remove")
            continue
        if path.name.endswith(PARTIAL):
            yield path, "a store of which a part was fetched; it would go on from there"
        elif caches:
            yield path, "a copy of a store on s3://, which is fetched again when it is asked for"


def _of_stores(
    folder: Path, caches: bool, tell: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    yield from _text_indices(folder, caches, tell)


def has_text_indices(folder: Path) -> bool:
    """Whether indices of texts stand in a folder, beside their stores."""
    return any(folder.glob(f"*{TEXTS_SUFFIX}/{TEXTS_NAME}"))


def _text_indices(
    folder: Path, caches: bool, tell: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    """Those of stores that are gone or others by now; with caches, all of them."""
    for record in sorted(folder.glob(f"*{TEXTS_SUFFIX}/{TEXTS_NAME}")):
        path = record.parent
        store = path.with_name(path.name.removesuffix(TEXTS_SUFFIX))
        try:
            _, own = read_manifest(store) if store.exists() else (None, "")
        except UserError as error:
            tell(f"{path}: stays, its store cannot be read: {error}")
            continue
        if (json_object_or_none(record) or {}).get("store") != own:
            yield path, "an index of texts of a store that is gone, or another one by now"
        elif caches:
            yield path, "an index of texts, which geo-nemo trace makes anew when it is asked"


def _lock_of(store: Path) -> Path:
    name = store.name.removesuffix(LEAVING).removesuffix(PARTIAL)
    return store.with_name(f"{name}.lock")


def _leftovers(folder: Path, tell: Callable[[str], None]) -> Iterator[tuple[Path, str]]:
    """What was being written when its process ended: the locks say that none is at it."""
    for path in sorted(folder.iterdir()):
        if path.name.endswith(LEAVING):
            yield path, "what an earlier gc did not come to the end of"
        elif path.name.endswith(PARTIAL):
            if _is_held(path):
                tell(f"{path}: is being written")
                continue
            yield path, "not finished by a process that is no more"


def _is_held(partial: Path) -> bool:
    """Whether another process writes in a folder that has a lock of its own."""
    lock = partial / LOCK_NAME
    if not lock.is_file():
        return False
    try:
        with trying_lock(lock):
            return False
    except OSError:
        return True


def _is_behind_link(path: Path, folder: Path, tell: Callable[[str], None]) -> bool:
    """Whether it is a link, or lies behind one below `folder`."""
    inside = [path, *path.parents]
    inside = inside[: inside.index(folder)] if folder in inside else inside
    if folder not in path.parents or any(each.is_symlink() for each in inside):
        tell(f"{path}: is or lies behind a symbolic link, and stays")
        return True
    return False


def _remove(path: Path) -> None:
    leaving = path
    if not path.name.endswith(LEAVING):
        leaving = path.with_name(path.name + LEAVING)
        if leaving.exists() or leaving.is_symlink():  # cut short, and made anew since
            _delete(leaving)
        os.rename(path, leaving)
        with suppress(OSError):
            sync_folder(path.parent)
    _delete(leaving)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _freed(path: Path) -> int:
    """Bytes on disk of files that have no other name; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        with suppress(OSError):
            return _blocks(path.lstat())
        return 0
    total = 0
    for root, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += _blocks(os.lstat(os.path.join(root, name)))
    return total


def _blocks(state: os.stat_result) -> int:
    return state.st_blocks * 512 if state.st_nlink == 1 else 0
