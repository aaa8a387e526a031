"""The checkpoints of a run that is under way: saved beside it, found again, thinned out.

A save goes through three phases:

1. `save`, every rank: its part is planned, and copied where training goes on meanwhile.
2. writing: threads of every rank write its files. The loop asks after each step, in the exchange
   that it makes anyway, whether every rank is done.
3. committing: rank 0 writes index and record, gives the folder its name, and removes old ones.

A failure in 2 or 3 is the same error on every rank, at the next question; the newest whole
checkpoint is then still the one before.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

from geo_nemo.common.files import PARTIAL, partial_of
from geo_nemo.common.log import logger
from geo_nemo.config import Checkpoint
from geo_nemo.train.average import WeightAverage
from geo_nemo.train.checkpoint import load as checkpoint
from geo_nemo.train.checkpoint.commit import commit
from geo_nemo.train.checkpoint.copies import Copies
from geo_nemo.train.checkpoint.errors import (
    FAILURES,
    everywhere,
    on_rank_zero,
    raise_first,
    rank_zero_does,
)
from geo_nemo.train.checkpoint.files import (
    Refused,
    checkpoints,
    content_problem,
    listed_files,
    point_latest,
    read_record,
    shape_problem,
)
from geo_nemo.train.checkpoint.fp8_state import delayed_scales
from geo_nemo.train.checkpoint.random_states import file_name, random_states, restore_random_states
from geo_nemo.train.checkpoint.staging import Staging
from geo_nemo.train.checkpoint.state import sharded_state
from geo_nemo.train.checkpoint.write import WriteJob, Written, plan_part
from geo_nemo.train.engine import Engine

LOG = logger(__name__)


class Checkpoints:
    """Every rank holds one, and calls its methods alike.

    tell: receives a line for each checkpoint that is refused, on rank 0. average: is saved with the
    engine.
    """

    def __init__(
        self,
        engine: Engine,
        directory: Path,
        settings: Checkpoint,
        tell: Callable[[str], None] = LOG.warning,
        average: WeightAverage | None = None,
    ):
        self.engine = engine
        self.directory = directory
        self.settings = settings
        self.tell = tell
        self.average = average
        self.copies: Copies | None = None  # is told of each checkpoint that is whole
        self._staging = Staging() if settings.async_save else None
        self._save: _Save | None = None
        self._validated = False
        self._damaged: set[str] = set()

    def save(self, position: checkpoint.Position) -> Path:
        """Begin a checkpoint, after the one before; unless `async_save`, return when it is whole.

        Raises `UserError` or `RunError` in one line, the same on every rank.
        """
        self.finish()
        final = self.directory / f"step_{position.step:08d}"
        partial = partial_of(final)
        with rank_zero_does(f"cannot write the checkpoint {final}") as mine:
            if mine:
                for left_by_a_kill in self.directory.glob(f"step_*{PARTIAL}"):
                    shutil.rmtree(left_by_a_kill, ignore_errors=True)
                partial.mkdir(parents=True)
        with self.engine.whole_parameters():
            self._save = self._begin(final, partial, position)
            if not self.settings.async_save:
                self.finish()
        return final

    def _begin(self, final: Path, partial: Path, position: checkpoint.Position) -> "_Save":
        problem = None
        try:
            state = sharded_state(self.engine, is_loading=False, average=self.average)
            part = plan_part(state, partial, self._staging, not self._validated)
        except FAILURES as error:
            problem = error
        raise_first(problem, final, partial)
        self._validated = True
        small = {**part.common, file_name(dist.get_rank()): random_states()}
        small |= delayed_scales(self.engine.modules)
        job = WriteJob(partial, part.writer, small)

        def committed(written: list[Written], in_use: tuple[str, ...]) -> None:
            commit(final, partial, position, part, written, self.settings, self._damaged, in_use)

        return _Save(final, partial, job, committed)

    @property
    def is_saving(self) -> bool:
        """Whether a save is under way, on every rank alike."""
        return self._save is not None

    def flags(self) -> tuple[float, float]:
        """(1 while this rank is at work, 1 when it has failed), to be summed over all ranks."""
        if self._save is None:
            return 0.0, 0.0
        return float(not self._save.done), float(self._save.error is not None)

    def advance(self, working: float, failed: float) -> None:
        """Take the next phase when the sums of all ranks' flags allow it.

        Raises `UserError` or `RunError` in one line where a rank has failed.
        """
        if self._save is None or working:
            return
        save = self._save
        if failed:
            self._save = None
            raise_first(save.error, save.final, save.partial)
        if save.committing:
            self._save = None
            if self.copies:
                self.copies.begin(save.final)
            return
        written = on_rank_zero(save.job.written)
        # Asked here: copies go on beside the thread that commits.
        save.begin_commit(written, self.copies.in_use() if self.copies else ())

    def finish(self) -> None:
        """Wait until the save that is under way is whole."""
        while self._save is not None:
            self._save.join()
            flags = torch.tensor(self.flags(), device=self.engine.device)
            dist.all_reduce(flags)
            self.advance(*flags.tolist())

    def abandon(self) -> None:
        """Leave the save that is under way unfinished; for a rank that ends by an error."""
        if self._save is not None:
            with contextlib.suppress(Exception):
                self._save.job.abandon()
            self._save = None

    def newest(self) -> Path | None:
        """The newest whole checkpoint, each rank having read a part of it; None without any.

        Raises `UserError` where there are checkpoints and none is whole.
        """
        self.finish()
        refused = Refused(self.directory, self.tell if dist.get_rank() == 0 else _nobody)
        found = everywhere(checkpoints(self.directory))[0]
        for path in reversed(found):
            problem = self._problem(path)
            if not problem:
                if dist.get_rank() == 0:
                    self._damaged.update(path.name for path in refused.why)
                    refused.in_favour_of(path)
                    point_latest(self.directory, path)
                return path
            refused.add(path, problem)
        return refused.in_favour_of(None)

    def load(self, path: Path) -> checkpoint.Position:
        """Restore the engine, the average and the random states from `path`."""
        position = checkpoint.load(self.engine, path, self.average)
        restore_random_states(path)
        return position

    def _problem(self, path: Path) -> str:
        """What is wrong with a checkpoint, on every rank alike; empty: nothing."""
        with rank_zero_does("") as mine:
            shape = shape_problem(path) if mine else ""
        shape = everywhere(shape)[0]
        if shape:
            return shape
        files = listed_files(read_record(path))
        by_size = sorted(files, key=lambda name: (-files[name].size, name))
        part = by_size[dist.get_rank() :: dist.get_world_size()]
        return next(filter(None, everywhere(content_problem(path, part))), "")


class _Save:
    """A save that is under way on this rank."""

    def __init__(
        self,
        final: Path,
        partial: Path,
        job: WriteJob,
        commit: Callable[[list[Written], tuple[str, ...]], None],
    ):
        self.final = final
        self.partial = partial
        self.job = job
        self.committing = False
        self._commit = commit
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.job.done and not (self._thread is not None and self._thread.is_alive())

    @property
    def error(self) -> BaseException | None:
        return self.job.error or self._error

    def begin_commit(self, written: list[Written] | None, in_use: tuple[str, ...]) -> None:
        """Commit in a thread, on rank 0, what all ranks have written.

        in_use: names of checkpoints that stay, whatever their age.
        """
        self.committing = True
        if dist.get_rank() == 0:
            self._thread = threading.Thread(
                target=self._committed, args=(written, in_use), name="checkpoint", daemon=True
            )
            self._thread.start()

    def join(self) -> None:
        self.job.join()
        if self._thread is not None:
            self._thread.join()

    def _committed(self, written: list[Written], in_use: tuple[str, ...]) -> None:
        try:
            self._commit(written, in_use)
        except BaseException as error:
            self._error = error


def _nobody(line: str) -> None: ...
