"""Moves what a stage made into the output folder: whole or not at all."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from data_prep.stages import build_stage, check_replaceable, stage_is_whole
from geo_nemo.common.files import writing


def publish(
    folder: Path, key: str, files: Mapping[str, Path], describe: Callable[[Path], None]
) -> None:
    """Make `folder` hold `files`, by name, under second names, and what `describe` writes to it.

    Nothing is done where it holds them under this key already. The files are never written again,
    so that two names of one file do no harm; they are copied where the system cannot link.
    Raises UserError where something stands in `folder` that is not ours.
    """
    sizes = {name: path.stat().st_size for name, path in files.items()}
    if stage_is_whole(folder, key) and _sizes(folder, sizes) == sizes:
        return

    def build(partial: Path) -> None:
        for name, path in files.items():
            link_or_copy(path, partial / name)
        describe(partial)

    build_stage(folder, key, build)


def withdraw(folder: Path) -> None:
    """Remove a folder that was published before and no longer belongs to the output."""
    check_replaceable(folder)
    with writing(folder):
        shutil.rmtree(folder, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file a second name, or copy it."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _sizes(folder: Path, names: Mapping[str, int]) -> dict[str, int | None]:
    def size(path: Path) -> int | None:
        try:
            return path.stat().st_size
        except OSError:
            return None

    return {name: size(folder / name) for name in names}
