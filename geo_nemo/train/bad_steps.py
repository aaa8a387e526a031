"""Steps that must not be taken: what makes one bad, which are left out, and how they are kept.

Every rank comes to the same verdict, for each has the loss and the gradient norm of the whole
batch. What is left out and the losses that the next verdict rests on are part of a checkpoint.
"""

import json
import statistics
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch.distributed as dist
from megatron.core import parallel_state

from geo_nemo.config import BadSteps, RunError
from geo_nemo.config.files import make_folder, write_whole, writing
from geo_nemo.config.lines import keep_lines
from geo_nemo.data.batches import Batch, rows_of
from geo_nemo.data.render import STYLE, legend_html, row_html
from geo_nemo.data.rows import ROW_ARRAYS
from geo_nemo.metadata.tokenizer import Tokenizer

# Fewer losses say too little of what is usual.
LEAST_LOSSES = 8
# In the output folder, a line a bad step.
NOTES = "bad_steps.jsonl"


class BadStepError(RunError):
    """A step that was not taken: weights, optimizer and clock are as before it."""


@dataclass
class BadStepState:
    """What a checkpoint keeps of it.

    skipped: steps that are left out, or were. losses: the last ones of the stage.
    """

    skipped: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class BadStepRule:
    """Judges losses, and knows the steps to leave out."""

    def __init__(self, settings: BadSteps):
        self.settings = settings
        self.found = 0
        self.load_state(BadStepState())

    def state(self) -> BadStepState:
        return BadStepState(sorted(self._skipped), list(self._losses))

    def load_state(self, state: BadStepState) -> None:
        self._skipped = set(state.skipped)
        self._losses: deque[float] = deque(state.losses, self.settings.window)

    def start_stage(self) -> None:
        """Losses of another policy are no measure."""
        self._losses.clear()

    def leaves_out(self, step: int) -> bool:
        return step in self._skipped

    def leave_out(self, first: int, last: int) -> None:
        """Leave out the steps from `first` to `last`, both included."""
        self._skipped.update(range(max(first, 0), last + 1))

    def accept(self, loss: float) -> None:
        """Remember the loss of a step that was taken."""
        self._losses.append(loss)

    def check(self, loss: float, step: int) -> None:
        """Raise BadStepError where `loss` is a spike."""
        sigma, losses = self.settings.spike_sigma, self._losses
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
    """Write this rank's micro-batches into `folder`: arrays as .npz, rows as a coloured page.

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
            for array in (*ROW_ARRAYS, "cu_seqlens", "sample_ids")
        }
        np.savez_compressed(folder / f"{name}.npz", **arrays)
    rows = "".join(
        f"<h2>micro-batch {index}, sample {sample}</h2>{row_html(row, tokenizer, groups)}"
        for index, batch in enumerate(batches)
        for sample, row in zip(batch.sample_ids.tolist(), rows_of(batch), strict=True)
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{folder.name}</title>'
        f"<style>{STYLE}</style><body>{legend_html()}{rows}</body></html>\n"
    )
    write_whole(folder / f"{name}.html", page.encode())


def note(path: Path, step: int, stage: str, reason: str, action: str) -> None:
    """Append what was done about a bad step to a file of JSON lines, on rank 0."""
    if dist.get_rank() == 0:
        line = {"step": step, "stage": stage, "reason": reason, "action": action}
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def forget_notes(path: Path, step: int, left_out: Collection[int]) -> None:
    """Drop the notes of steps that a resumed run takes again: it notes what it finds then."""
    keep_lines(path, lambda line: line["step"] < step or line["step"] in left_out)
