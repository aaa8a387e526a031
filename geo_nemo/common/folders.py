"""Folders that are whole or absent: built aside, synced, then given their name by one rename."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geo_nemo.common.files import partial_of, sync_folder, sync_tree, writing


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """The empty folder `<folder>.partial`, which becomes `folder` when the block ends.

    Whatever stops the block, `folder` stays as it was. An OSError becomes a `UserError`.
    """
    partial = partial_of(folder)
    with writing(folder):
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        try:
            yield partial
            sync_tree(partial)
            replace_folder(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def replace_folder(made: Path, folder: Path) -> None:
    """Give `made`, which is complete and on disk, the name `folder`; what had it goes.

    A process that is killed in between leaves the old one beside its name, as
    `<folder>.before.partial`, which nobody takes for whole.
    """
    before = _before(folder)
    if before.exists():
        shutil.rmtree(before)
    had_name = folder.exists()
    if had_name:
        os.replace(folder, before)
    try:
        name_folder(made, folder)
    except OSError:
        if had_name:
            os.rename(before, folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder. A process that is killed in it leaves no part of it under its name.

    Raises `UserError` where it cannot lose its name.
    """
    before = _before(folder)
    with writing(folder):
        if before.exists():
            shutil.rmtree(before)
        os.rename(folder, before)
        sync_folder(folder.parent)
    shutil.rmtree(before, ignore_errors=True)


def _before(folder: Path) -> Path:
    """Where a folder stands that is to go."""
    return partial_of(folder.with_name(f"{folder.name}.before"))


def name_folder(made: Path, folder: Path) -> None:
    """Give `made`, which is complete and on disk, a name that is free, or an empty folder's.

    Raises OSError where something stands there.
    """
    os.rename(made, folder)
    sync_folder(folder.parent)
