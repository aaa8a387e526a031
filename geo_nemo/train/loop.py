"""The training loop: stages in order, a step at a time, resumed where the newest checkpoint stands.

for each stage: its rows, its policy
    for each step: the rank's micro-batches, one train step, callbacks, now and then a checkpoint
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from megatron.core import parallel_state

from geo_nemo.config import RunError, UserError
from geo_nemo.config.progress import Progress, no_progress
from geo_nemo.data.batches import Batch, BatchStream
from geo_nemo.runtime.signals import StopRequest
from geo_nemo.train import checkpoint
from geo_nemo.train.average import WeightAverage
from geo_nemo.train.bad_steps import (
    NOTES,
    BadStepError,
    BadStepRule,
    BadStepState,
    forget_notes,
    keep_batches,
    note,
)
from geo_nemo.train.checkpoint_copies import Copies
from geo_nemo.train.checkpoint_files import say
from geo_nemo.train.checkpoint_manager import Checkpoints
from geo_nemo.train.engine import Engine, StepReport
from geo_nemo.train.initial import load_initial
from geo_nemo.train.ledger import Ledger, write_ledger
from geo_nemo.train.setup import Prepared, check_fingerprint
from geo_nemo.train.stages import StagePlan, stage_of


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A finished optimizer step, as callbacks see it.

    step: counts from 0. batches: this rank's micro-batches. consumed_samples: of the stage so far.
    positions: tokens of the global batch, padding included. seconds: of the step and its wait for
    data, and of that wait, data_seconds. checkpoint_seconds: that training stood still for saves
    since the step before.
    """

    step: int
    stage: StagePlan
    report: StepReport
    batches: Sequence[Batch]
    seconds: float
    consumed_samples: int
    positions: int
    data_seconds: float = 0.0
    checkpoint_seconds: float = 0.0


class Callback(Protocol):
    """Watches a run on every rank; owns its state."""

    def on_start(self, step: int) -> None:
        """Before the first step of this process, and after a rewind; `step` comes next."""

    def on_step(self, event: StepEvent) -> None:
        """After each step."""

    def on_end(self) -> None:
        """After the last step of this process, also when it ends by an error."""


@runtime_checkable
class Stateful(Protocol):
    """A callback of which checkpoints keep something, in JSON, under its name."""

    name: str

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; rank 0's is written."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it, also after a rewind; empty where a checkpoint has nothing of it."""


class Trainer:
    """One process of a run.

    score: the validation loss at a step, None where it was not measured there; the best stay.
    outcome: how `fit` ended; failed until it did.
    """

    score: Callable[[int], float | None] | None = None

    def __init__(
        self,
        prepared: Prepared,
        device: torch.device,
        callbacks: Sequence[Callback] = (),
        progress: Progress = no_progress,
        stop: StopRequest | None = None,
    ):
        self.prepared = prepared
        self.run = prepared.run
        self.callbacks = callbacks
        self.progress = progress
        self.stop = stop
        self.device = device
        self.directory = Path(self.run.output_dir) / "checkpoints"
        self.engine = Engine(self.run, prepared.tokenizer.vocab_size, prepared.groups.size, device)
        self.average: WeightAverage | None = None
        if self.run.average.is_kept:
            self.average = WeightAverage(self.engine, self.run.average)
        self.checkpoints = Checkpoints(
            self.engine, self.directory, self.run.checkpoint, average=self.average
        )
        self.copies = self.checkpoints.copies = Copies(self.run.checkpoint, device)
        self.bad = BadStepRule(self.run.bad_steps)
        self.ledger = Ledger(prepared)
        self.step = 0
        self.outcome: Literal["finished", "stopped", "failed"] = "failed"
        self._checkpoint_seconds = 0.0

    def fit(self) -> bool:
        """Train to the end, or to a stop request. True when the run is finished."""
        self.resume()
        if dist.get_rank() == 0:
            forget_notes(Path(self.run.output_dir) / NOTES, self.step, self.bad.state().skipped)
        finished = True
        try:
            for callback in self.callbacks:
                callback.on_start(self.step)
            while finished and self.step < self.run.train.steps:
                finished = self._train_stage(stage_of(self.prepared.stages, self.step))
            if dist.get_rank() == 0:
                write_ledger(Path(self.run.output_dir), self._ledger())
            self.copies.finish(self.progress, is_last=finished)
            self.outcome = "finished" if finished else "stopped"
        finally:
            self.checkpoints.abandon()
            self.copies.abandon()
            for callback in self.callbacks:
                callback.on_end()
        return finished

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
        changed = checkpoint.precision_note(position.config, self.run.precision)
        if changed and dist.get_rank() == 0:
            say(f"{newest.name}: {changed}")
        self._restore(self.checkpoints.load(newest))

    def _restore(self, position: checkpoint.Position) -> None:
        self.step = position.step
        self.bad.load_state(BadStepState(position.skipped, position.losses))
        self.ledger.restore(position.ledger)
        for callback in self._stateful():
            callback.load_state_dict(position.states.get(callback.name, {}))

    def _stateful(self) -> list[Stateful]:
        return [callback for callback in self.callbacks if isinstance(callback, Stateful)]

    def save(self) -> None:
        """Write a checkpoint of where the run stands; with `async_save`, begin to."""
        self.checkpoints.save(self._position())

    def _position(self) -> checkpoint.Position:
        size = self.run.train.global_batch_size
        samples = {
            stage.name: size * min(max(self.step - stage.first_step, 0), stage.steps)
            for stage in self.prepared.stages
        }
        bad = self.bad.state()
        return checkpoint.Position(
            self.step,
            samples,
            self.prepared.fingerprint,
            bad.skipped,
            bad.losses,
            score=self.score(self.step) if self.score is not None else None,
            # On rank 0, which writes it and has the indices open.
            ledger=self._ledger() if dist.get_rank() == 0 else {},
            config=self.run.model_dump(mode="json"),
            states={callback.name: callback.state_dict() for callback in self._stateful()},
        )

    def _ledger(self) -> dict[str, Any]:
        return self.ledger.at(self.step, self.bad.state().skipped)

    def _train_stage(self, stage: StagePlan) -> bool:
        """The stage's remaining steps, or those to a rewind. False when a stop was asked for."""
        train = self.run.train
        if self.step == stage.first_step:
            self.bad.start_stage()
        stream = BatchStream(
            self.prepared.dataset(stage, self.progress),
            global_batch_size=train.global_batch_size,
            micro_batch_size=train.micro_batch_size,
            dp_rank=parallel_state.get_data_parallel_rank(),
            dp_size=parallel_state.get_data_parallel_world_size(),
            consumed_samples=(self.step - stage.first_step) * train.global_batch_size,
        )
        with closing(stream):
            while self.step < stage.last_step:
                begin = time.perf_counter()
                with self.engine.span("data"):
                    batches = next(stream)
                data_seconds = time.perf_counter() - begin
                try:
                    report = self._step(batches)
                except BadStepError as error:
                    if self._rewound(stage, batches, error):
                        return True
                    report = None
                self.step += 1
                if report is not None:
                    event = StepEvent(
                        self.step - 1,
                        stage,
                        report,
                        batches,
                        seconds=time.perf_counter() - begin,
                        consumed_samples=stream.consumed_samples,
                        positions=train.global_batch_size * self.run.data.seq_length,
                        data_seconds=data_seconds,
                        checkpoint_seconds=self._checkpoint_seconds,
                    )
                    self._checkpoint_seconds = 0.0
                    if self.average is not None:
                        self.average.update(self.step)
                    for callback in self.callbacks:
                        callback.on_step(event)
                begin = time.perf_counter()
                stopping = self._agree()
                last = self.step == train.steps
                if last or stopping or self.step % self.run.checkpoint.every_steps == 0:
                    self.save()
                if last or stopping:
                    self.checkpoints.finish()
                self._checkpoint_seconds += time.perf_counter() - begin
                if stopping and not last:
                    return False
        return True

    def _step(self, batches: Sequence[Batch]) -> StepReport | None:
        """Take the step, or leave it out (None)."""
        if self.bad.leaves_out(self.step):
            self.engine.skip_step()
            return None
        report = self.engine.train_step(batches, self.step, self.bad.check)
        self.bad.accept(report.loss)
        return report

    def _rewound(self, stage: StagePlan, batches: Sequence[Batch], error: BadStepError) -> bool:
        """Keep the batch, then do as the policy says: True after a rewind, False after a skip.

        Raises the error again where the policy is `raise`, or `bad_steps.limit` is reached.
        """
        settings, output = self.run.bad_steps, Path(self.run.output_dir)
        folder = output / "bad_batches" / f"step_{self.step:08d}"
        keep_batches(folder, batches, self.prepared.tokenizer, self.prepared.groups.names)
        self.bad.found += 1
        action = settings.policy if self.bad.found <= settings.limit else "raise"
        rewind_to = None
        if action == "rewind":
            rewind_to = self.checkpoints.newest()
            action = "rewind" if rewind_to else "raise"
        note(output / NOTES, self.step, stage.name, str(error), action)
        if action == "raise":
            with suppress(UserError, RunError):  # the bad step is what to tell
                self.checkpoints.finish()
            why = f" ({settings.limit} bad steps are the limit)" * (self.bad.found > settings.limit)
            raise RunError(f"{error}{why}; its batch is in {folder}") from None
        bad_step = self.step
        first = max(bad_step - settings.rewind_steps, 0)
        noted = {
            "step": bad_step,
            "stage": stage.name,
            "reason": str(error),
            "action": action,
            "left_out": list(range(first, bad_step + 1)),
        }
        if rewind_to is None:
            self.bad.leave_out(bad_step, bad_step)
            self.ledger.notes.append(noted)
            self.engine.skip_step()
            return False
        skipped, notes = self.bad.state().skipped, self.ledger.notes
        self._restore(self.checkpoints.load(rewind_to))
        for step in skipped:
            self.bad.leave_out(step, step)
        self.bad.leave_out(first, bad_step)
        self.ledger.notes = [*notes, noted | {"back_to_step": self.step}]
        for callback in self.callbacks:
            callback.on_start(self.step)
        return True

    def _agree(self) -> bool:
        """Exchange what every rank must know: whether a save or copy is done, or a stop asked for.

        True when any rank was asked to stop. Raises where a save has failed.
        """
        if self.stop is None and not self.checkpoints.is_saving and not self.copies.is_copying:
            return False
        mine = (float(bool(self.stop)), *self.checkpoints.flags(), *self.copies.flags())
        flags = torch.tensor(mine, device=self.device)
        dist.all_reduce(flags)
        stop, saves, failed_saves, *copying = flags.tolist()
        self.copies.advance(*copying)
        self.checkpoints.advance(saves, failed_saves)
        return bool(stop)
