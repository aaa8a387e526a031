"""Copies of a run's checkpoints in object storage, made beside training and fetched where needed.

A copy goes through two phases, like a save: every rank copies a part of the files; when all have,
rank 0 copies the record and removes old copies. The loop asks after each step, in the exchange that
it makes anyway, whether a phase is done. A copy that fails is a warning, for the checkpoint on disk
stands; that of a finished run's last checkpoint is an error.
"""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist

from geo_nemo.common.files import partial_of, sync_folder, write_synced
from geo_nemo.common.folders import replace_folder
from geo_nemo.common.log import logger
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Checkpoint, RunError, UserError
from geo_nemo.storage.folder import Stopped
from geo_nemo.storage.job import Job
from geo_nemo.storage.transfer import Damaged
from geo_nemo.train.checkpoint.bucket import Bucket, checked_files
from geo_nemo.train.checkpoint.errors import everywhere, rank_zero_does
from geo_nemo.train.checkpoint.files import RECORD, parse_record, step_of

LOG = logger(__name__)

POLL_S = 0.1


class Local(Protocol):
    """What is asked of the checkpoints on disk (geo_nemo.train.checkpoint.manager)."""

    directory: Path

    def newest(self) -> Path | None: ...


class Copies:
    """Every rank holds one, and calls its methods alike; without `settings.remote` it does nothing.

    tell: receives what else is logged, a line each, on rank 0.
    """

    def __init__(
        self,
        settings: Checkpoint,
        device: torch.device,
        tell: Callable[[str], None] | None = None,
    ):
        self.settings = settings
        self.device = device
        self.tell = tell
        self.bucket = Bucket(settings.remote) if settings.remote else None
        self.problem = ""
        self._copy: _Copy | None = None
        self._next: Path | None = None

    @property
    def _there(self) -> Bucket:
        assert self.bucket is not None  # without one nothing begins
        return self.bucket

    def newest(
        self, local: Local, run: str, fingerprint: dict[str, str], progress: Progress = no_progress
    ) -> Path | None:
        """The newest whole checkpoint on disk, where a newer one of the bucket is fetched to first.

        A copy that the bucket lacks is begun. Raises `UserError` where the bucket is another run's
        or cannot be used, or no checkpoint is whole.
        """
        if self.bucket is None:
            return local.newest()
        problem, here = None, None
        there: list[str] = []
        with rank_zero_does("") as mine:
            if mine:
                self._there.claim(run, fingerprint)
                there = self._there.whole()
        there = everywhere(there)[0]
        try:
            here = local.newest()
        except UserError as error:
            problem = error
        for name in reversed(there):
            if here is not None and step_of(Path(name)) <= step_of(here):
                break
            self._tell(f"the newest checkpoint is {self._there.address}/{name}: it is fetched")
            damage = self.fetch(name, local.directory, progress)
            if not damage:
                return local.newest()
            self._tell(
                f"the copy {self._there.address}/{name} is not whole: {damage}", logging.WARNING
            )
        if problem is not None:
            raise problem
        if here is not None and here.name not in there:
            self.begin(here)
        return here

    def in_use(self) -> tuple[str, ...]:
        """Names of the checkpoints on disk that are being copied, or are to be next."""
        using = (self._copy.checkpoint if self._copy else None, self._next)
        return tuple(path.name for path in using if path is not None)

    @property
    def is_copying(self) -> bool:
        """Whether a copy is under way, on every rank alike."""
        return self._copy is not None

    def begin(self, checkpoint: Path) -> None:
        """Copy a whole checkpoint, after the one that is being copied; those between are left out.

        Training may write them faster than they can be copied.
        """
        if self.bucket is None:
            return
        if self._copy is not None:
            self._next = checkpoint
            return
        part = dist.get_rank(), dist.get_world_size()
        self._copy = _Copy(
            checkpoint,
            Job(lambda progress, stop: self._there.copy_files(checkpoint, part, progress, stop)),
        )

    def flags(self) -> tuple[float, float]:
        """(1 while this rank copies, 1 when it has failed), to be summed over all ranks."""
        if self._copy is None:
            return 0.0, 0.0
        job = self._copy.job
        return float(job.is_working), float(job.error is not None)

    def advance(self, working: float, failed: float) -> None:
        """Take the next phase when the sums of all ranks' flags allow it."""
        copy = self._copy
        if copy is None or working:
            return
        if failed:
            reasons = everywhere(_reason(copy.job.error))
            self._failed(copy.checkpoint, next(filter(None, reasons)))
        elif not copy.recording:
            copy.recording = True
            keep, rank = self.settings.remote_keep_last, dist.get_rank()
            if rank == 0:
                copy.job = Job(lambda *_: self._there.copy_record(copy.checkpoint, keep))
            return
        else:
            self.problem = ""
        self._copy, following = None, self._next
        if following is not None:
            self._next = None
            self.begin(following)

    def finish(self, progress: Progress = no_progress, is_last: bool = False) -> None:
        """Wait for the copy that is under way, no longer than the settings say.

        is_last: the run is finished. Raises `RunError` where its last checkpoint is not copied.
        """
        deadline = time.monotonic() + 60 * self.settings.remote_wait_minutes
        while (copy := self._copy) is not None:
            late = dist.get_rank() == 0 and time.monotonic() > deadline
            working, failed, ended = self._sum(*self.flags(), float(late))
            if working and ended:
                last = self._next or copy.checkpoint
                minutes = f"{self.settings.remote_wait_minutes:g}"
                self.abandon()
                self._failed(last, f"not done in checkpoint.remote_wait_minutes={minutes}")
                break
            self.advance(working, failed)
            progress(f"copy {copy.checkpoint.name}, MB", *copy.job.megabytes)
            if working:
                time.sleep(POLL_S)
        if is_last and self.problem:
            raise RunError(
                f"the run is finished, but {self.problem}; the same command copies it again"
            )

    def abandon(self) -> None:
        """Leave the copy that is under way unfinished."""
        copy, self._copy, self._next = self._copy, None, None
        if copy is not None:
            copy.job.abandon()

    def _failed(self, checkpoint: Path, reason: str) -> None:
        self.problem = f"{checkpoint} is not copied to {self._there.address}: {reason}"
        self._tell(f"{self.problem}; the one on disk stands", logging.WARNING)

    def fetch(self, name: str, directory: Path, progress: Progress) -> str:
        """Fetch a checkpoint, each rank a part; what is damaged of it, on every rank alike."""
        content, partial = b"", partial_of(directory / f"{name}.fetched")
        with rank_zero_does(f"cannot write {directory}") as mine:
            if mine:
                content = self._there.record(name)
        content = everywhere(content)[0]
        try:
            files = checked_files(parse_record(content, f"{self._there.address}/{name}"))
        except ValueError as error:
            return str(error)
        with rank_zero_does(f"cannot write {directory}") as mine:
            if mine:
                partial.mkdir(parents=True, exist_ok=True)
                self._there.check_room(name, files, partial)
        part = dist.get_rank(), dist.get_world_size()
        job = Job(
            lambda told, stop: self._there.fetch_files(name, files, partial, part, told, stop)
        )
        failed = self._wait_for(job, f"fetch {name}", progress)
        with rank_zero_does(f"cannot write {directory}") as mine:
            if mine and failed is None:
                write_synced(partial / RECORD, content)
                sync_folder(partial)
                replace_folder(partial, directory / name)
            elif mine and failed is not None and failed[0]:
                shutil.rmtree(partial)
        if failed is None:
            return ""
        damaged, reason = failed
        if damaged:
            return reason
        raise UserError(f"{reason}; the same command goes on with what was fetched")

    def _wait_for(self, job: Job, name: str, progress: Progress) -> tuple[bool, str] | None:
        """Until the jobs of all ranks are done: (whether a file is damaged, why) of the first."""
        working = 1.0
        try:
            while working:
                working, failed = self._sum(float(job.is_working), float(job.error is not None))
                if failed:
                    job.stop.set()
                progress(f"{name}, MB", *job.megabytes)
                if working:
                    time.sleep(POLL_S)
        except BaseException:
            job.abandon()
            raise
        mine = None
        if job.error is not None and not isinstance(job.error, Stopped):
            mine = isinstance(job.error, Damaged), _reason(job.error)
        return next((each for each in everywhere(mine) if each is not None), None)

    def _sum(self, *mine: float) -> list[float]:
        flags = torch.tensor(mine, device=self.device)
        dist.all_reduce(flags)
        return flags.tolist()

    def _tell(self, line: str, level: int = logging.INFO) -> None:
        if dist.get_rank() == 0:
            if self.tell is not None:
                self.tell(line)
            else:
                LOG.log(level, line)


class _Copy:
    """A copy that is under way on this rank."""

    def __init__(self, checkpoint: Path, job: Job):
        self.checkpoint = checkpoint
        self.job = job
        self.recording = False


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"
