"""Validation during a run: the loss with, without and with wrong metadata, by group.

The difference between without and with is what the model has from metadata; the one between wrong
and without shows whether it trusts what it is told.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch.distributed as dist
from megatron.core import parallel_state

from geo_nemo.common.files import writing
from geo_nemo.common.lines import keep_lines
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.data.batches import Batch, stack_sequences
from geo_nemo.data.conditions import WITH, WITHOUT, WRONG
from geo_nemo.data.groups import as_keys, mean_by_group
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.data.validation import choose_documents, validation_sequences
from geo_nemo.train.callback import StepEvent
from geo_nemo.train.callbacks.loggers import Loggers, of_validation
from geo_nemo.train.engine import Engine
from geo_nemo.train.setup import Prepared


class Validate:
    """Writes `validation.jsonl` on rank 0, a line a validation.

    Each line: step (the last one taken; counts from 0), steps_done (step + 1), stage, loss (mean
    nats over titles and bodies, by condition), gap (without - with), trust (wrong - without),
    tokens, loss_by_country, or by the fields of the run's `groups` (by condition and group).

    weights: opens a block in which the engine has the weights to be measured.
    """

    def __init__(
        self,
        path: Path,
        prepared: Prepared,
        engine: Engine,
        loggers: Loggers | None = None,
        weights: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        self.path = path
        self.engine = engine
        self.loggers = loggers or Loggers()
        self.weights = weights
        self.every_steps = prepared.run.validation.every_steps or prepared.run.train.steps
        self.last_step = prepared.run.train.steps
        self.groups = prepared.groups
        self.latest: dict[str, Any] | None = None
        self.batches = _batches(prepared)

    def on_start(self, step: int) -> None:
        self.latest = None  # after a rewind it is of weights that are no more
        if dist.get_rank() == 0:
            keep_lines(self.path, lambda line: line["step"] < step)

    def reads(self, step: int) -> bool:
        """Of a step after which it measures, so that no bad weights are measured."""
        return (step + 1) % self.every_steps == 0 or step + 1 == self.last_step

    def on_step(self, event: StepEvent) -> None:
        if not self.reads(event.step):
            return
        done = event.step + 1
        about = {"step": event.step, "steps_done": done, "stage": event.stage.name}
        line = {**about, **self._measure()}
        self.latest = line
        if dist.get_rank() == 0:
            with writing(self.path), self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            self.loggers.add(of_validation(line))

    def on_end(self) -> None: ...

    def score(self, step: int) -> float | None:
        """Mean of the losses with and without metadata after `step` steps; None: not measured."""
        if self.latest is None or self.latest["step"] != step - 1:
            return None
        losses = self.latest["loss"]
        return (losses[WITHOUT] + losses.get(WITH, losses[WITHOUT])) / 2

    def _measure(self) -> dict[str, Any]:
        losses: dict[str, float] = {}
        by_field: dict[str, dict[str, Any]] = {field: {} for field in self.groups.fields}
        tokens = 0
        for condition, batches in self.batches.items():
            with self.weights():
                sums, counts = self.engine.evaluate(batches)
            tokens = int(counts.sum())
            losses[condition] = float(sums.sum()) / tokens
            of_condition = mean_by_group(self.groups, sums.numpy(), counts.numpy())
            for field, means in of_condition.items():
                by_field[field][condition] = means
        measured = {"loss": losses, "tokens": tokens, **as_keys(by_field, "loss_by_")}
        if WITH in losses:
            measured["gap"] = losses[WITHOUT] - losses[WITH]
            measured["trust"] = losses[WRONG] - losses[WITHOUT]
        return measured


def _batches(prepared: Prepared) -> dict[str, list[Batch]]:
    """This rank's batches by condition, equally many on every rank."""
    run = prepared.run
    try:
        split = prepared.store.split(run.validation.split)
    except UserError as error:
        raise UserError(f"validation.every_steps needs held-out documents: {error}") from None
    documents = choose_documents(split, run.validation.documents, run.seed)
    policy = _told(prepared)
    sequences = validation_sequences(
        split,
        documents,
        policy,
        prepared.tokenizer,
        run.data.seq_length,
        run.seed,
        prepared.groups,
    )
    rank = parallel_state.get_data_parallel_rank()
    size = parallel_state.get_data_parallel_world_size()
    return {
        condition: _batches_of(of_condition, rank, size)
        for condition, of_condition in sequences.items()
    }


def _told(prepared: Prepared) -> MetadataPolicy:
    """The policy of the first stage that tells the model something; that of the first, else."""
    policies = [stage.policy for stage in prepared.stages]
    return next((policy for policy in policies if policy.fields), policies[0])


def _batches_of(sequences: list[PackedSequence], rank: int, size: int) -> list[Batch]:
    """Those of `rank`, `rank + size`, ...; ranks that have one less add one that trains nothing."""
    mine = sequences[rank::size]
    if len(mine) < -(-len(sequences) // size):
        idle = sequences[0]
        silent = PackedSequence(**{**vars(idle), "loss_mask": idle.loss_mask * 0})
        mine = [*mine, silent]
    return [stack_sequences([sequence], [0]) for sequence in mine]
