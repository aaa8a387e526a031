"""What proves a task done: a folder that was built aside and renamed, with a receipt in it."""

import hashlib
import shutil
from collections.abc import Callable
from glob import escape
from pathlib import Path
from secrets import token_hex
from typing import Any

import orjson
from pydantic import ValidationError

from geo_nemo.common.files import PARTIAL, partial_of, sync_tree, write_synced, writing
from geo_nemo.common.folders import replace_folder
from geo_nemo.config.section import NonNegative, Section

RECEIPT_NAME = "receipt.json"
_MARK_BYTES = 4


class Receipt(Section):
    """Kept as `receipt.json` beside a task's files.

    key: of the task. files: bytes by name. counts: what the task returned.
    """

    key: str
    files: dict[str, NonNegative]
    counts: dict[str, Any]


def task_key(*parts: str) -> str:
    """Sixteen hex digits that change with any of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def read_receipt(folder: Path) -> Receipt | None:
    """The receipt in `folder`; None where there is none, or a file has not the size it gives."""
    try:
        receipt = Receipt.model_validate_json((folder / RECEIPT_NAME).read_bytes())
        for name, size in receipt.files.items():
            if (folder / name).stat().st_size != size:
                return None
    except (OSError, ValidationError):
        return None
    return receipt


def build_task_folder(folder: Path, key: str, build: Callable[[Path], dict[str, Any]]) -> None:
    """Call `build` with an empty folder aside, then move that into the place of `folder`.

    Whatever stops `build`, `folder` stays as it was. An OSError becomes a UserError. The folder
    aside is of this call alone: the old process of a job that is requeued may live on for a while.
    What it has made by then stays, and what it has begun is removed once `folder` is there.
    """
    partial = partial_of(folder.with_name(f"{folder.name}.{token_hex(_MARK_BYTES)}"))
    with writing(folder):
        partial.mkdir(parents=True)
        try:
            counts = build(partial)
            files = {
                str(path.relative_to(partial)): path.stat().st_size
                for path in sorted(partial.rglob("*"))
                if path.is_file()
            }
            receipt = Receipt(key=key, files=files, counts=counts)
            write_synced(partial / RECEIPT_NAME, orjson.dumps(receipt.model_dump()))
            sync_tree(partial)
            made = read_receipt(folder)
            if made is None or made.key != key:
                replace_folder(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    mark = "?" * 2 * _MARK_BYTES
    for left in folder.parent.glob(f"{escape(folder.name)}.{mark}{PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def task_begun(folder: Path) -> str:
    """The id of the task whose folder aside this is; empty where it is none."""
    return folder.stem.rpartition(".")[0] if folder.suffix == PARTIAL else ""
