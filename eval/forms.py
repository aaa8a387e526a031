"""One result in several files that differ by their ending."""

from collections.abc import Mapping
from pathlib import Path

from geo_nemo.common.files import make_folder, write_together


def write_forms(folder: Path, stem: str, contents: Mapping[str, str]) -> list[Path]:
    """Write `<stem>.<ending>` for each ending of `contents`; the files, in that order."""
    make_folder(folder)
    files = {folder / f"{stem}.{ending}": text.encode() for ending, text in contents.items()}
    write_together(files)
    return list(files)
