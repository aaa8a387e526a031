"""Where an export goes: what may be there, and what of a stopped one is kept."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_nemo.common.files import partial_of
from geo_nemo.common.lock import LOCK_NAME
from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError
from geo_nemo.export.plan import Plan
from geo_nemo.train.checkpoint.files import RECORD as CHECKPOINT
from geo_nemo.train.checkpoint.files import checkpoints
from geo_nemo.train.origin import EXPORTED

# What is exported: of a whole folder, with the sizes of its files; and of a partial one.
RECORD, BEGUN = EXPORTED, "export.json"
# In a partial folder: a checkpoint from a bucket.
FETCHED = "checkpoint"


@dataclass(frozen=True, slots=True)
class Exported:
    """was_there: the folder held this very export before. note: what its user should know."""

    has_tokenizer_json: bool
    was_there: bool
    note: str = ""


def check_out(out: Path, record: Mapping[str, Any], setting: str = "--out") -> Exported | None:
    """What `out` is, if it is this export, whole; `UserError` where the export cannot go there.

    That is among checkpoints, at a mount point, which no folder can be moved to, and wherever
    something else is, or beside a folder of the user's that has the partial one's name.
    setting: what the user gives the place as, for messages.
    """
    told = _read_record(out / RECORD)
    files = told.pop("files", None)
    if told == record and files is not None and files.items() <= sizes_of(out).items():
        return Exported("tokenizer.json" in files, was_there=True)
    # A copy of one checkpoint may lie anywhere, and what is beside it is the user's.
    beside = checkpoints(out.parent) if out.parent.name == "checkpoints" else []
    if any((folder / CHECKPOINT).is_file() for folder in (out, *out.parents, *beside)):
        raise UserError(f"{out} is among checkpoints, which it would spoil: give another {setting}")
    if out.is_mount():
        raise UserError(f"{out} is a mount point: give a folder in it as {setting}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already: remove it, or give another {setting}")
    partial = partial_of(out)
    if partial.exists() and not _is_begun(partial):
        raise UserError(
            f"{partial} is there and is no export that was stopped: move it away, or give another "
            f"{setting}"
        )
    return None


def _is_begun(partial: Path) -> bool:
    if not partial.is_dir():
        return False
    names = {path.name for path in partial.iterdir()}
    return names <= {LOCK_NAME} or bool(names & {BEGUN, RECORD})


def sizes_of(folder: Path) -> dict[str, int]:
    """Bytes of every file below, but for the record's own."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in files
        if path.name not in (RECORD, LOCK_NAME)
    }


def _read_record(path: Path) -> dict[str, Any]:
    try:
        return dict(parse_json(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def keep_only_of(partial: Path, record: Mapping[str, Any], plan: Plan) -> None:
    """Empty the folder, but for what is whole of the same export that was stopped."""
    kept = {LOCK_NAME}
    if _read_record(partial / BEGUN) == record:
        whole = [name for name, group in plan.files().items() if plan.holds(partial / name, group)]
        kept |= {BEGUN, FETCHED, *whole}
    for path in partial.iterdir():
        if path.name not in kept:
            is_folder = path.is_dir() and not path.is_symlink()
            shutil.rmtree(path) if is_folder else path.unlink()
    write_json(partial / BEGUN, record)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """For people to read, too."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
