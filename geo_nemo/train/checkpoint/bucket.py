"""A run's checkpoints in a bucket, as one process sees them; needs no torch.

    s3://bucket/run/run.json                       whose checkpoints these are
    s3://bucket/run/step_00000100/...              the files of a checkpoint
    s3://bucket/run/step_00000100/geo_nemo.json    its record, the last to come: then it is whole

Names and content are those on disk, so that any tool which copies a folder of them restores it.
"""

import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import xxhash

from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_json
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.storage.folder import RemoteFolder, retried
from geo_nemo.storage.transfer import Item, check_room, download, upload
from geo_nemo.train.checkpoint.changes import changed_settings
from geo_nemo.train.checkpoint.files import RECORD, STEP_NAME, Files, listed_files, read_record

RUN = "run.json"


class Bucket:
    """The checkpoints under an address. All of it raises `UserError` where the storage fails."""

    def __init__(self, address: str):
        self.folder = RemoteFolder(address)

    @property
    def address(self) -> str:
        return self.folder.address

    def claim(self, name: str, fingerprint: dict[str, str]) -> None:
        """Note whose checkpoints these are, which shows that the bucket can be written.

        Raises `UserError` where they are another run's, which names what differs.
        """
        content = retried(lambda: self.folder.read(RUN))
        if content is None:
            record = json.dumps({"name": name, "fingerprint": fingerprint}, indent=1).encode()
            retried(lambda: self.folder.write(RUN, record))
            return
        try:
            saved = dict(parse_json(content)["fingerprint"])
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.address}/{RUN} is no record of a run: give another checkpoint.remote"
            ) from None
        if changed := changed_settings(saved, fingerprint):
            raise UserError(
                f"{self.address} holds the checkpoints of a run with another "
                f"{', '.join(changed)}: restore what it was, or give another checkpoint.remote"
            )

    def whole(self) -> list[str]:
        """Names of the checkpoints that have a record, oldest first."""
        return self._whole(retried(self.folder.sizes))

    def record(self, name: str) -> bytes:
        """The record of a checkpoint; empty where it is gone."""
        return retried(lambda: self.folder.sub(name).read(RECORD)) or b""

    def copy_files(
        self,
        checkpoint: Path,
        part: tuple[int, int],
        progress: Progress = no_progress,
        stop: threading.Event | None = None,
    ) -> None:
        """Copy this process's part of a checkpoint's files; part: its number, of how many."""
        target = self.folder.sub(checkpoint.name)
        files = self._files_of(checkpoint)
        if part[0] == 0:
            # One of this name from before, which is being replaced, is no longer whole.
            retried(lambda: target.delete(RECORD), stop)
        upload(checkpoint, target, _part_of(files, part), progress, "copy", stop)

    def copy_record(self, checkpoint: Path, keep_last: int) -> None:
        """Copy the record, once every file is there, and remove all but the last `keep_last`."""
        target = self.folder.sub(checkpoint.name)
        files = self._files_of(checkpoint)
        sizes = retried(target.sizes)
        for name, file in files.items():
            if sizes.get(name) != file.size:
                raise UserError(f"{name} is not there as it was written")
        for name in sizes.keys() - files.keys() - {RECORD}:
            retried(partial(target.delete, name))
        content = (checkpoint / RECORD).read_bytes()
        retried(lambda: target.write(RECORD, content))
        self._thin(checkpoint.name, keep_last)

    def fetch_files(
        self,
        name: str,
        files: Files,
        folder: Path,
        part: tuple[int, int],
        progress: Progress = no_progress,
        stop: threading.Event | None = None,
    ) -> None:
        """Fetch this process's part of a checkpoint's files into `folder`."""
        download(self.folder.sub(name), folder, _part_of(files, part), progress, "fetch", stop)

    def check_room(self, name: str, files: Files, folder: Path) -> None:
        """Raise `UserError` where the disk of `folder` has no room for what is still to come."""
        check_room(f"{self.address}/{name}", folder, _part_of(files, (0, 1)))

    def _thin(self, newest: str, keep_last: int) -> None:
        sizes = retried(self.folder.sizes)
        whole = [name for name in self._whole(sizes) if _step(name) <= _step(newest)]
        found = {name.partition("/")[0] for name in sizes}
        for name in sorted(name for name in found if STEP_NAME.fullmatch(name)):
            if _step(name) > _step(newest) or name in whole[-keep_last:]:
                continue
            old = self.folder.sub(name)
            retried(partial(old.delete, RECORD))
            retried(old.delete_all)

    def _whole(self, sizes: dict[str, int]) -> list[str]:
        names = [name.removesuffix(f"/{RECORD}") for name in sizes if name.endswith(f"/{RECORD}")]
        return sorted((name for name in names if STEP_NAME.fullmatch(name)), key=_step)

    def _files_of(self, checkpoint: Path) -> Files:
        try:
            return listed_files(read_record(checkpoint))
        except ValueError as error:
            raise UserError(f"{checkpoint} is not whole: {error}") from None


def checked_files(record: dict[str, Any]) -> Files:
    """The files that a fetched record lists; ValueError where one would lie elsewhere."""
    files = listed_files(record)
    for name in files:
        if "/" in name or name in ("", ".", "..", RECORD):
            raise ValueError(f"{RECORD} lists {name!r}")
    return files


def _part_of(files: Files, part: tuple[int, int]) -> list[Item]:
    """Every n-th file, by size, so that all processes have about as much to move."""
    number, of = part
    by_size = sorted(files, key=lambda name: (-files[name].size, name))
    return [Item(name, *files[name], xxhash.xxh3_128) for name in by_size[number::of]]


def _step(name: str) -> int:
    return int(name.removeprefix("step_"))
