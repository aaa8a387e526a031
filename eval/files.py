"""Output files that are whole or absent."""

import os
from pathlib import Path

from geo_nemo.config import UserError


def make_folder(folder: Path) -> None:
    """Create `folder`; UserError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make folder {folder}: {error.strerror or error}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, synced, then give it the name; UserError where refused."""
    partial = path.with_name(path.name + ".partial")
    try:
        try:
            with partial.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; mend that or give another output="
        ) from None
