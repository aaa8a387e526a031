"""Where a result is made before it has its place: a folder beside it that one process holds."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_nemo.common.errors import UserError
from geo_nemo.common.files import partial_of, sync_tree, writing
from geo_nemo.common.folders import name_folder
from geo_nemo.common.lock import LOCK_NAME, folder_lock
from geo_nemo.store.manifest import HOSTS_NAME, MANIFEST_NAME


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """The empty folder `<out>.partial`, held by this process and gone when the block ends.

    Raises UserError where another process holds it, or the system refuses to write.
    """
    folder = partial_of(out)
    with folder_lock(folder), writing(out):
        try:
            _clear(folder)
            yield folder
        finally:
            # The lock's file goes with the rest: whoever opens it later opens another one.
            shutil.rmtree(folder, ignore_errors=True)


def check_free(store: Path) -> None:
    """UserError where something stands in the place of a store to be made."""
    if not store.exists():
        return
    made_by_us = (store / MANIFEST_NAME).is_file() and (store / HOSTS_NAME).is_file()
    what = "is a token store already" if made_by_us else "exists and is no token store"
    raise UserError(f"{store} {what}: remove it, or give another --out")


def move_store(made: Path, store: Path) -> None:
    """Give the folder `made`, now complete, the name `store`, which is free."""
    sync_tree(made)
    check_free(store)
    name_folder(made, store)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == LOCK_NAME:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
