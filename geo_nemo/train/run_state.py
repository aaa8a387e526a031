"""Where a run stands, and how that is kept: in checkpoints, and taken up from the newest one."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from megatron.core import parallel_state

from geo_nemo.common.log import logger
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import UserError
from geo_nemo.data.batches import BatchStream
from geo_nemo.runtime.signals import StopRequest
from geo_nemo.train.agreement import Agreement
from geo_nemo.train.average import WeightAverage
from geo_nemo.train.bad_steps import BadStepRule
from geo_nemo.train.callback import Callback
from geo_nemo.train.checkpoint import files
from geo_nemo.train.checkpoint import load as checkpoint
from geo_nemo.train.checkpoint.copies import Copies
from geo_nemo.train.checkpoint.manager import Checkpoints
from geo_nemo.train.engine import Engine
from geo_nemo.train.everyone import Everyone
from geo_nemo.train.init_weights import load_initial
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import Prepared, check_borders, check_fingerprint
from geo_nemo.train.stage_steps import StagePlan, stage_of
from geo_nemo.train.step_times import StepTimes
from geo_nemo.train.unseen import Unseen

LOG = logger(__name__)


class RunState:
    """What a process has of a run.

    step: optimizer steps done. left_out: steps that were not taken, or will not be. callbacks:
    stand behind those that belong to every run. stop: of this process, by a signal.
    """

    def __init__(
        self,
        prepared: Prepared,
        device: torch.device,
        callbacks: Sequence[Callback] = (),
        progress: Progress = no_progress,
        stop: StopRequest | None = None,
    ):
        self.prepared = prepared
        self.run = run = prepared.run
        self.device = device
        self.callbacks = callbacks
        self.progress = progress
        self.stop = stop
        self.step = 0
        self.left_out: set[int] = set()
        self.engine = Engine(run, prepared.vocab_size, prepared.groups.size, device)
        kept = run.average.is_kept
        self.average = WeightAverage(self.engine, run.average) if kept else None
        self.directory = Path(run.output_dir) / "checkpoints"
        self.checkpoints = Checkpoints(
            self.engine, self.directory, run.checkpoint, average=self.average
        )
        self.copies = self.checkpoints.copies = Copies(run.checkpoint, device)
        self.ledger = Ledger(prepared, lambda: (self.step, self.left_out))
        self.bad = BadStepRule(prepared, self.left_out, self.checkpoints, self.ledger)
        self.agreement = Agreement(device, self.checkpoints, self.copies, lambda: bool(self.stop))
        self.unseen = Unseen(self.bad)
        self.times = StepTimes()

    @property
    def everyone(self) -> Everyone:
        """What belongs to every run, then the callbacks."""
        average = [self.average] if self.average is not None else []
        return Everyone([*average, self.bad, self.ledger, *self.callbacks])

    def batches(self, stage: StagePlan) -> BatchStream:
        """This rank's micro-batches of the stage's steps from here on."""
        size = stage.global_batch_size
        return BatchStream(
            self.prepared.dataset(stage, self.progress),
            global_batch_size=size,
            micro_batch_size=stage.micro_batch_size,
            dp_rank=parallel_state.get_data_parallel_rank(),
            dp_size=parallel_state.get_data_parallel_world_size(),
            consumed_samples=(self.step - stage.first_step) * size,
        )

    def resume(self) -> None:
        """Load the newest whole checkpoint, on disk or in `checkpoint.remote`, if there is one.

        Before the first one, the weights that `init` names.

        Raises `UserError` where it is of another run, or does not load, or none is whole.
        """
        newest = self.copies.newest(
            self.checkpoints, self.run.name, self.prepared.fingerprint, self.progress
        )
        if newest is None:
            if self.prepared.origin is not None:
                self.ledger.before = load_initial(self.engine, self.prepared, self.progress)
                if self.average is not None:
                    self.average.restart()
            return
        position = checkpoint.read_position(newest)
        check_fingerprint(position.fingerprint, self.prepared.fingerprint, newest)
        check_borders(position.config, self.run, newest)
        changed = checkpoint.precision_note(position.config, self.run.precision)
        if changed and dist.get_rank() == 0:
            LOG.info(f"{newest.name}: {changed}")
        gone = self.restore(newest)
        self._check_layout(newest)
        for name in gone if dist.get_rank() == 0 else ():
            LOG.info(
                f"{newest.name} has a state of {name}, a callback that this run has not: it ends "
                "there"
            )

    def _check_layout(self, newest: Path) -> None:
        """Raise `UserError` where a damaged checkpoint stands before the stage to go on with."""
        if self.step == self.run.train.steps:
            return
        there = files.checkpoints(self.directory)
        stage = stage_of(self.prepared.stages, self.step)
        if stage.parallel != self.run.parallel and there[-1] != newest:
            raise UserError(
                f"{there[-1]} is not whole, and {newest.name} is of stage {stage.name}, which has "
                f"another parallel layout: remove {there[-1]}, and the same command goes on"
            )

    def restore(self, path: Path) -> list[str]:
        """Go on from this checkpoint; the names of states in it that no callback takes."""
        LOG.debug(f"goes on from {path}")
        position = self.checkpoints.load(path)
        self.step = position.step
        self.left_out.update(position.skipped)
        return self.everyone.load_states(position.states)

    def position(self) -> checkpoint.Position:
        """What a checkpoint tells of where the run stands."""
        samples = {
            stage.name: stage.global_batch_size
            * min(max(self.step - stage.first_step, 0), stage.steps)
            for stage in self.prepared.stages
        }
        everyone = self.everyone
        return checkpoint.Position(
            self.step,
            samples,
            self.prepared.fingerprint,
            sorted(self.left_out),
            score=everyone.score(self.step),
            config=self.run.model_dump(mode="json"),
            # Rank 0 writes it, and has open what some of them ask.
            states=everyone.states() if dist.get_rank() == 0 else {},
        )
