"""The training loop: stages in order, a step at a time, resumed where the newest checkpoint stands.

for each stage: its sequences, its policy
    for each step: the rank's micro-batches, one train step, callbacks, now and then a checkpoint

The device is a step ahead of what the host knows: whether a step was finite, and whether a rank was
asked to stop, is looked at while the next one is computed. The host waits before a checkpoint, and
where a callback, or the rule for bad steps, must see a step's numbers.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import Literal

from geo_nemo.common.log import logger
from geo_nemo.data.batches import Batch
from geo_nemo.train.bad_steps import BadStep
from geo_nemo.train.checkpoint.errors import everywhere
from geo_nemo.train.everyone import strongest
from geo_nemo.train.run_state import RunState
from geo_nemo.train.stage_steps import StagePlan, changes_layout, stage_of
from geo_nemo.train.step import BadStepError, StepEvent, StepReport

LOG = logger(__name__)


class Trainer(RunState):
    """One process of a run.

    outcome: how `fit` ended; failed until it did. reason: of a callback that stopped the run.
    boundary: why another process must go on, where the next stage has another layout.
    """

    outcome: Literal["finished", "stopped", "failed"] = "failed"
    reason = ""
    boundary = ""

    def fit(self) -> bool:
        """Train to the end, or to a stop. True when the run is finished."""
        self.everyone.stateful()  # two of one name are refused before a step is taken
        self.resume()
        going = True
        try:
            self.everyone.on_start(self.step)
            while going and self.step < self.run.train.steps:
                stage = stage_of(self.prepared.stages, self.step)
                if stage.parallel != self.run.parallel:
                    self.boundary = f"stage {stage.name} has another parallel layout"
                    going = False
                    break
                going = self._train_stage(stage_of(self.prepared.stages, self.step))
            self.ledger.write()
            self.copies.finish(self.progress, is_last=going)
            self.outcome = "finished" if going else "stopped"
        finally:
            self.checkpoints.abandon()
            self.copies.abandon()
            self.everyone.on_end()
        return going

    def _train_stage(self, stage: StagePlan) -> bool:
        """The stage's remaining steps, or those to a rewind. False when the run is to stop."""
        LOG.debug(f"stage {stage.name}: from step {self.step} to {stage.last_step}")
        if self.step == stage.first_step:
            self.everyone.on_stage(stage)
        with closing(self.batches(stage)) as stream:
            while self.step < stage.last_step:
                with self.times.of_data(), self.engine.span("data"):
                    batches = next(stream)
                report, verdict = None, None
                try:
                    report = self._take(batches)
                except BadStepError as error:
                    if self._rewound(BadStep(self.step, stage.name, batches, error)):
                        return True
                self.unseen.look()  # at the step before
                self.step += 1
                waits = self._waits()
                if report is not None:
                    self.unseen.hold(self.step - 1, stage.name, batches, report)
                    if waits:
                        self.unseen.look()
                    event = self._event(stage, report, batches, stream.consumed_samples)
                    verdict = self.everyone.on_step(event)
                with self.times.of_saves():
                    rewinding = self.agreement.exchange(verdict, waits)
                    stopping = self.agreement.stopping
                    # Which rank's, and why: every rank must end alike.
                    asked = strongest(everywhere(verdict)) if stopping or rewinding else None
                    if rewinding and asked is not None:
                        refused = BadStepError(asked.reason, asked)
                        self._rewound(BadStep(self.step - 1, stage.name, batches, refused))
                        return True
                    last = self._ends_here
                    if last or stopping or self._is_saved:
                        self.save()
                    if last or stopping:
                        self.checkpoints.finish()
                # At a border between layouts, too: another process would go on.
                if stopping and self.step < self.run.train.steps:
                    self.reason = asked.reason if asked else ""
                    return False
        return True

    def save(self) -> None:
        """Write a checkpoint of where the run stands; with `async_save`, begin to."""
        self.unseen.look()
        self.checkpoints.save(self.position())

    def _take(self, batches: Sequence[Batch]) -> StepReport | None:
        """Take the step, or leave it out (None); BadStepError where it must not be taken."""
        if self.step in self.left_out:
            self.engine.skip_step()
            return None
        everyone = self.everyone
        check = everyone.on_loss if everyone.judges_loss else None
        return self.engine.train_step(batches, self.step, check)

    def _event(
        self, stage: StagePlan, report: StepReport, batches: Sequence[Batch], samples: int
    ) -> StepEvent:
        """The step that was just taken, as callbacks see it."""
        return StepEvent(
            self.step - 1,
            stage,
            report,
            batches,
            seconds=self.times.so_far(),
            consumed_samples=samples,
            positions=stage.step_tokens,
            data_seconds=self.times.data,
            checkpoint_seconds=self.times.take_saves(),
            latest_loss=self.unseen.latest_loss,
        )

    @property
    def _ends_here(self) -> bool:
        """Whether this process takes no step after those that are done."""
        return self.step == self.run.train.steps or changes_layout(self.prepared.stages, self.step)

    @property
    def _is_saved(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self.step % self.run.checkpoint.every_steps == 0

    def _waits(self) -> bool:
        """Whether the numbers of the step that was just taken are needed before the next one."""
        return self._ends_here or self._is_saved or self.everyone.reads(self.step - 1)

    def _rewound(self, bad: BadStep) -> bool:
        """Rewind (True) or leave the step out (False), as the rule says; it raises for neither."""
        self.agreement.hear()
        back_to = self.bad.judge(bad)
        if back_to is None:
            self.engine.skip_step()
            return False
        self.unseen.drop()
        self.restore(back_to)
        self.everyone.on_start(self.step)
        return True
