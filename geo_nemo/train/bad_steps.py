"""Steps that must not be taken: what makes one bad, which are left out, and how they are kept.

Every rank comes to the same verdict, for each has the loss and the gradient norm of the whole
batch. What is left out and the losses that the next verdict rests on are part of a checkpoint.
"""

import json
import statistics
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.distributed as dist
from megatron.core import parallel_state

from geo_nemo.common.files import make_folder, write_whole, writing
from geo_nemo.common.lines import keep_lines
from geo_nemo.config import BadSteps, RunError, UserError
from geo_nemo.data.audit.render import sequence_html, sequences_page
from geo_nemo.data.batches import Batch, sequences_of
from geo_nemo.data.sequences import SEQUENCE_ARRAYS
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.train.checkpoint.files import step_of
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import Prepared
from geo_nemo.train.stage_steps import StagePlan
from geo_nemo.train.step import BadStepError, ReadLater, StepEvent

if TYPE_CHECKING:
    from geo_nemo.train.checkpoint.manager import Checkpoints

# Fewer losses say too little of what is usual.
LEAST_LOSSES = 8
# In the output folder, a line a bad step.
NOTES = "bad_steps.jsonl"


@dataclass(frozen=True, slots=True)
class BadStep:
    """A step and what was wrong with it; batches: this rank's micro-batches."""

    step: int
    stage: str
    batches: Sequence[Batch]
    error: BadStepError


class BadStepRule:
    """Judges losses, and says what becomes of a step that is bad: a callback of every run.

    left_out: the run's steps that are not taken; those that the rule leaves out are added.
    """

    name = "bad_steps"

    def __init__(
        self,
        prepared: Prepared,
        left_out: set[int],
        checkpoints: "Checkpoints",
        ledger: Ledger,
    ):
        self.prepared = prepared
        self.settings = prepared.run.bad_steps
        self.output = Path(prepared.run.output_dir)
        self.left_out = left_out
        self.checkpoints = checkpoints
        self.ledger = ledger
        self._losses: deque[float] = deque(maxlen=self.settings.window)
        self._late = ReadLater(lambda event: self._losses.append(event.report.loss))

    @property
    def found(self) -> int:
        """Bad steps of the run that were left out: a checkpoint's ledger keeps them over starts."""
        return len({noted["step"] for noted in self.ledger.notes})

    @property
    def losses(self) -> deque[float]:
        """Those of the last steps of the stage, which the next verdict rests on."""
        self._late.flush()
        return self._losses

    @property
    def judges_loss(self) -> bool:
        """Whether a bad step must be known before weights change; else it ends the run anyway."""
        return self.settings.policy != "raise" or self.settings.spike_sigma is not None

    def state_dict(self) -> dict[str, Any]:
        """The losses that the next verdict rests on."""
        return {"losses": list(self.losses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._late.forget()
        self._losses = deque(state.get("losses", ()), self.settings.window)

    def on_start(self, step: int) -> None:
        """Drop the notes of steps that are taken again: what is found then is noted then."""
        if dist.get_rank() == 0:
            keep_lines(
                self.output / NOTES,
                lambda line: line["step"] < step or line["step"] in self.left_out,
            )

    def on_stage(self, stage: StagePlan) -> None:
        """Losses of another policy are no measure."""
        self.losses.clear()

    def on_loss(self, step: int, loss: float) -> None:
        self.check(loss, step)

    def reads(self, step: int) -> bool:
        return False

    def on_step(self, event: StepEvent) -> None:
        self._late.add(event)

    def on_end(self) -> None: ...

    def check(self, loss: float, step: int) -> None:
        """Raise BadStepError where `loss` is a spike."""
        check_spike(self.settings, self.losses, loss, step)

    def judge(self, bad: BadStep) -> Path | None:
        """Keep the batch, note the step and leave it out; the checkpoint to go back to, if any.

        Every rank calls it. Raises RunError where the run must end: by policy or verdict, at
        `bad_steps.limit`, or where there is no checkpoint to go back to.
        """
        settings, verdict = self.settings, bad.error.verdict
        folder = self.output / "bad_batches" / f"step_{bad.step:08d}"
        keep_batches(folder, bad.batches, self.prepared.tokenizer, self.prepared.groups.names)
        is_beyond = self.found >= settings.limit
        wanted = settings.policy if verdict is None else verdict.action
        action = "raise" if is_beyond or wanted == "stop" else wanted
        back_to = self.checkpoints.newest() if action == "rewind" else None
        if action == "rewind" and back_to is None:
            action = "raise"
        note(self.output / NOTES, bad.step, bad.stage, str(bad.error), action)
        if action == "raise":
            with suppress(UserError, RunError):  # the bad step is what to tell
                self.checkpoints.finish()
            why = (
                f" ({self.found} were left out before, and bad_steps.limit is {settings.limit}: "
                f"look at {self.output / NOTES}, and give a higher one to go on)"
            )
            raise RunError(f"{bad.error}{why * is_beyond}; its batch is in {folder}") from None
        before = settings.rewind_steps if action == "rewind" else 0
        gone = {*range(bad.step - before, bad.step + 1)}
        gone.update(verdict.left_out if verdict is not None else ())
        # Those before are in the weights, and the ledger must not say otherwise.
        first = bad.step if back_to is None else step_of(back_to)
        gone &= {*range(first, self.prepared.run.train.steps)}
        self.left_out.update(gone)
        noted: dict[str, Any] = {
            "step": bad.step,
            "stage": bad.stage,
            "reason": str(bad.error),
            "action": action,
            "left_out": sorted(gone),
        }
        if back_to is not None:
            noted["back_to_step"] = step_of(back_to)
        self.ledger.notes.append(noted)
        return back_to


def check_spike(settings: BadSteps, losses: Collection[float], loss: float, step: int) -> None:
    """Raise BadStepError where `loss` is far above the mean of `losses`, those before it."""
    sigma = settings.spike_sigma
    if sigma is None or len(losses) < LEAST_LOSSES:
        return
    mean, deviation = statistics.fmean(losses), statistics.pstdev(losses)
    if loss > mean + sigma * deviation:
        raise BadStepError(
            f"the loss spikes at step {step}: {loss:.4f} after a mean of {mean:.4f} and a "
            f"standard deviation of {deviation:.4f} over {len(losses)} steps"
        )


def keep_batches(
    folder: Path, batches: Sequence[Batch], tokenizer: Tokenizer, groups: Sequence[str]
) -> None:
    """Write this rank's micro-batches into `folder`: arrays as .npz, sequences as a coloured page.

    Ranks that hold the same batches write once.
    """
    if parallel_state.get_model_parallel_group().rank() != 0:
        return
    make_folder(folder)
    name = f"rank_{dist.get_rank():05d}"
    with writing(folder):
        arrays = {
            f"{array}_{index}": getattr(batch, array)
            for index, batch in enumerate(batches)
            for array in (*SEQUENCE_ARRAYS, "cu_seqlens", "sample_ids")
        }
        np.savez_compressed(folder / f"{name}.npz", **arrays)
    shown = [
        (f"micro-batch {index}, sample {sample}", sequence_html(sequence, tokenizer, groups))
        for index, batch in enumerate(batches)
        for sample, sequence in zip(batch.sample_ids.tolist(), sequences_of(batch), strict=True)
    ]
    write_whole(folder / f"{name}.html", sequences_page(folder.name, shown).encode())


def note(path: Path, step: int, stage: str, reason: str, action: str) -> None:
    """Append what was done about a bad step to a file of JSON lines, on rank 0."""
    if dist.get_rank() == 0:
        line = {"step": step, "stage": stage, "reason": reason, "action": action}
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
