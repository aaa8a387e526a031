"""The training loop: stages in order, a step at a time, resumed where the newest checkpoint stands.

for each stage: its rows, its policy
    for each step: the rank's micro-batches, one train step, callbacks, now and then a checkpoint
"""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from megatron.core import parallel_state

from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import UserError
from geo_nemo.data.batches import Batch, BatchStream
from geo_nemo.runtime.signals import StopRequest
from geo_nemo.train.average import WeightAverage
from geo_nemo.train.bad_steps import BadStep, BadStepRule
from geo_nemo.train.callback import Callback, Scoring, Stateful
from geo_nemo.train.checkpoint import load as checkpoint
from geo_nemo.train.checkpoint.copies import Copies
from geo_nemo.train.checkpoint.errors import everywhere
from geo_nemo.train.checkpoint.files import say
from geo_nemo.train.checkpoint.manager import Checkpoints
from geo_nemo.train.engine import Engine
from geo_nemo.train.init_weights import load_initial
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import Prepared, check_fingerprint
from geo_nemo.train.stage_steps import StagePlan, stage_of
from geo_nemo.train.step import BadStepError, StepEvent, StepReport, Verdict


class Trainer:
    """One process of a run.

    step: optimizer steps done. left_out: steps that were not taken, or will not be. outcome: how
    `fit` ended; failed until it did. reason: of a callback that stopped the run.
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
        self.callbacks = callbacks
        self.progress = progress
        self.stop = stop
        self.device = device
        self.step = 0
        self.left_out: set[int] = set()
        self.outcome: Literal["finished", "stopped", "failed"] = "failed"
        self.reason = ""
        self.engine = Engine(run, prepared.tokenizer.vocab_size, prepared.groups.size, device)
        kept = run.average.is_kept
        self.average = WeightAverage(self.engine, run.average) if kept else None
        self.directory = Path(run.output_dir) / "checkpoints"
        self.checkpoints = Checkpoints(
            self.engine, self.directory, run.checkpoint, average=self.average
        )
        self.copies = self.checkpoints.copies = Copies(run.checkpoint, device)
        self.ledger = Ledger(prepared, lambda: (self.step, self.left_out))
        self.bad = BadStepRule(prepared, self.left_out, self.checkpoints, self.ledger)
        self._checkpoint_seconds = 0.0

    @property
    def everyone(self) -> list[Callback]:
        """What belongs to every run, then the callbacks."""
        average = [self.average] if self.average is not None else []
        return [*average, self.bad, self.ledger, *self.callbacks]

    def fit(self) -> bool:
        """Train to the end, or to a stop. True when the run is finished."""
        self._stateful()  # two of one name are refused before a step is taken
        self.resume()
        going = True
        try:
            self._tell_start()
            while going and self.step < self.run.train.steps:
                going = self._train_stage(stage_of(self.prepared.stages, self.step))
            self.ledger.write()
            self.copies.finish(self.progress, is_last=going)
            self.outcome = "finished" if going else "stopped"
        finally:
            self.checkpoints.abandon()
            self.copies.abandon()
            self._tell_end()
        return going

    def _train_stage(self, stage: StagePlan) -> bool:
        """The stage's remaining steps, or those to a rewind. False when the run is to stop."""
        train = self.run.train
        if self.step == stage.first_step:
            for callback in self.everyone:
                if hasattr(callback, "on_stage"):
                    callback.on_stage(stage)
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
                    report = self._take(batches)
                except BadStepError as error:
                    if self._rewound(BadStep(self.step, stage.name, batches, error)):
                        return True
                    report = None
                self.step += 1
                verdict = None
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
                    verdict = _strongest([each.on_step(event) for each in self.everyone])
                begin = time.perf_counter()
                stopping, rewinding = self._agree(verdict)
                # Which rank's, and why: every rank must end alike.
                asked = _strongest(everywhere(verdict)) if stopping or rewinding else None
                if rewinding:
                    error = BadStepError(asked.reason, asked)
                    self._rewound(BadStep(self.step - 1, stage.name, batches, error))
                    return True
                last = self.step == train.steps
                if last or stopping or self.step % self.run.checkpoint.every_steps == 0:
                    self.save()
                if last or stopping:
                    self.checkpoints.finish()
                self._checkpoint_seconds += time.perf_counter() - begin
                if stopping and not last:
                    self.reason = asked.reason if asked else ""
                    return False
        return True

    def _take(self, batches: Sequence[Batch]) -> StepReport | None:
        """Take the step, or leave it out (None)."""
        if self.step in self.left_out:
            self.engine.skip_step()
            return None
        return self.engine.train_step(batches, self.step, self._ask)

    def _ask(self, loss: float, step: int) -> None:
        """Raise BadStepError where a callback does not want the step taken."""
        for callback in self.everyone:
            if hasattr(callback, "on_loss"):
                verdict = callback.on_loss(step, loss)
                if verdict is not None:
                    raise BadStepError(verdict.reason, verdict)

    def _rewound(self, bad: BadStep) -> bool:
        """Rewind (True) or leave the step out (False), as the rule says; it raises for neither."""
        back_to = self.bad.judge(bad)
        if back_to is None:
            self.engine.skip_step()
            return False
        self._restore(self.checkpoints.load(back_to))
        self._tell_start()
        return True

    def _agree(self, verdict: Verdict | None = None) -> tuple[bool, bool]:
        """Whether any rank was asked to stop, or to rewind; the exchange of what all must know.

        That is also whether a save or copy is done. Raises where a save has failed.
        """
        asks = verdict.action if verdict else ""
        mine = (float(bool(self.stop) or asks == "stop"), float(asks == "rewind"))
        mine = (*mine, *self.checkpoints.flags(), *self.copies.flags())
        flags = torch.tensor(mine, device=self.device)
        dist.all_reduce(flags)
        stop, rewind, saves, failed_saves, *copying = flags.tolist()
        self.copies.advance(*copying)
        self.checkpoints.advance(saves, failed_saves)
        return bool(stop), bool(rewind)

    def _tell_start(self) -> None:
        for callback in self.everyone:
            callback.on_start(self.step)

    def _tell_end(self) -> None:
        """Tell everyone, whatever one of them raises; what ended the run comes before that."""
        failed = []
        for callback in self.everyone:
            try:
                callback.on_end()
            except Exception as error:
                failed.append(error)
        if failed and sys.exception() is None:
            raise failed[0]

    def save(self) -> None:
        """Write a checkpoint of where the run stands; with `async_save`, begin to."""
        self.checkpoints.save(self._position())

    def _position(self) -> checkpoint.Position:
        size = self.run.train.global_batch_size
        samples = {
            stage.name: size * min(max(self.step - stage.first_step, 0), stage.steps)
            for stage in self.prepared.stages
        }
        scores = [each.score(self.step) for each in self.everyone if isinstance(each, Scoring)]
        # Rank 0 writes it, and has open what some of them ask.
        states = {
            name: each.state_dict() for name, each in self._stateful() if dist.get_rank() == 0
        }
        return checkpoint.Position(
            self.step,
            samples,
            self.prepared.fingerprint,
            sorted(self.left_out),
            score=next((score for score in scores if score is not None), None),
            config=self.run.model_dump(mode="json"),
            states=states,
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
        changed = checkpoint.precision_note(position.config, self.run.precision)
        if changed and dist.get_rank() == 0:
            say(f"{newest.name}: {changed}")
        self._restore(self.checkpoints.load(newest), newest.name)

    def _restore(self, position: checkpoint.Position, told_of: str = "") -> None:
        """told_of: the checkpoint's name, where what nobody takes of it is to be said."""
        self.step = position.step
        self.left_out.update(position.skipped)
        known = self._stateful()
        for name, callback in known:
            callback.load_state_dict(position.states.get(name, {}))
        kept = {name for name, state in position.states.items() if state}
        gone = sorted(kept - {name for name, _ in known})
        for name in gone if told_of and dist.get_rank() == 0 else ():
            say(f"{told_of} has a state of {name}, a callback that this run has not: it ends there")

    def _stateful(self) -> list[tuple[str, Stateful]]:
        found = [(each.name, each) for each in self.everyone if isinstance(each, Stateful)]
        names = [name for name, _ in found]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"two callbacks are named {twice[0]}: give one another name")
        return found


def _strongest(verdicts: Sequence[Verdict | None]) -> Verdict | None:
    """A rewind before a stop; the first of its kind."""
    asked = [verdict for verdict in verdicts if verdict is not None]
    return next((each for each in asked if each.action == "rewind"), asked[0] if asked else None)
