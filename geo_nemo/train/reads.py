"""Which of some documents a run has read, and when: from its packing indices, not from a log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geo_nemo.common.files import read_json, understood
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Run, UserError
from geo_nemo.config.load import validate
from geo_nemo.data.groups import grouping_of
from geo_nemo.data.stage import build_stage_index
from geo_nemo.store import TokenStore
from geo_nemo.train.checkpoint.files import checkpoints, read_record, step_of
from geo_nemo.train.stage_steps import plan_stages

SPLIT = "train"


@dataclass(frozen=True)
class StageReads:
    """documents: numbers in the split, int64 [m]; steps: the step that read each, from 0, [m]."""

    stage: str
    documents: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class RunReads:
    """steps: optimizer steps of its newest checkpoint. checkpoints: step of each, oldest first.

    before: the runs that its first weights come from, by name, step and store; what these have
    read is in them, and is not looked up.
    """

    run: str
    steps: int
    checkpoints: dict[str, int]
    stages: tuple[StageReads, ...]
    before: tuple[str, ...] = ()

    def seen_by(self) -> list[str]:
        """Names of the checkpoints that a step stands behind which read such a document."""
        first = min((int(s.steps.min()) for s in self.stages if len(s.steps)), default=None)
        if first is None:
            return []
        return [name for name, step in self.checkpoints.items() if step > first]


def check_run(folder: Path, store: TokenStore) -> Run:
    """The run in `folder`. Raises UserError where it holds none, or one of another store."""
    record = read_json(folder / "run.json", "give the folder of a run")
    if record.get("store_hash") != store.hash:
        raise UserError(
            f"{folder} was trained on another store ({record.get('store_hash')}) than {store.root} "
            f"({store.hash}): give that one"
        )
    with understood(folder / "run.json", "give the folder of a run"):
        settings = {**record["config"], "output_dir": str(folder)}
    return validate(f"{folder / 'run.json'}, of another version", Run, settings, kept=True)


def read_by(
    folder: Path, store: TokenStore, wanted: np.ndarray, progress: Progress = no_progress
) -> RunReads:
    """Where the run in `folder` has read documents of the split `train` of its store.

    wanted: their numbers, int64 [n]. A part of a document is a reading of it; steps that were left
    out are none. An index that is gone is made again, in the run's folder. In memory: an index's
    fragments, a million at a time. Raises UserError where `folder` holds no run, or one of another
    store.
    """
    run = check_run(folder, store)
    kept, left_out = _checkpoints(folder)
    done = max(kept.values(), default=0)
    split, tokenizer = store.split(SPLIT), store.tokenizer()
    groups = grouping_of(store, run.groups)
    found = []
    for stage in plan_stages(run):
        if stage.first_step >= done:
            continue
        index, _ = build_stage_index(
            run, store.hash, split, tokenizer, stage.name, progress, groups
        )
        sequences = (min(done, stage.last_step) - stage.first_step) * stage.global_batch_size
        documents, at = index.sequences_with(wanted, sequences)
        steps = stage.first_step + at // stage.global_batch_size
        taken = ~np.isin(steps, left_out)
        found.append(StageReads(stage.name, documents[taken], steps[taken]))
    return RunReads(str(folder), done, kept, tuple(found), _before(folder))


def _checkpoints(folder: Path) -> tuple[dict[str, int], Sequence[int]]:
    """Steps of the checkpoints by name, and the steps that the newest one left out."""
    found = {path: step_of(path) for path in checkpoints(folder / "checkpoints")}
    if not found:
        raise UserError(f"{folder} has no checkpoint: it has read nothing that is kept")
    try:
        left_out = read_record(list(found)[-1]).get("skipped", [])
    except ValueError as error:
        raise UserError(f"{list(found)[-1]} is not whole: {error}") from None
    return {path.name: step for path, step in found.items()}, left_out


def _before(folder: Path) -> tuple[str, ...]:
    try:
        records = [read_record(path) for path in checkpoints(folder / "checkpoints")[-1:]]
    except ValueError:
        return ()  # it is not whole, and has no weights either
    earlier = [run for record in records for run in record.get("ledger", {}).get("before", [])]
    return tuple(f"{run['run']}, step {run['step']}, of store {run['store']}" for run in earlier)
