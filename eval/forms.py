"""One result in several files that differ by their ending."""

from collections.abc import Mapping
from pathlib import Path

from geo_nemo.common.files import make_folder, write_whole


def write_forms(folder: Path, stem: str, contents: Mapping[str, str]) -> list[Path]:
    """Write `<stem>.<ending>` for each ending of `contents`; the files, in that order."""
    make_folder(folder)
    paths = [folder / f"{stem}.{ending}" for ending in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_whole(path, content.encode())
    return paths
