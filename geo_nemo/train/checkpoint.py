"""Checkpoints: whole or absent, in Megatron-Core's sharded format, readable at other layouts.

    checkpoints/step_00000100/                 model, optimizer, schedule: torch_dist shards
    checkpoints/step_00000100/geo_nemo.json    step, samples by stage, hashes of what it depends on

A checkpoint is written under a name that ends in `.partial`, synced, and renamed, so a folder
without that ending is whole, and a kill at any moment leaves the newest whole one in place.

No random state is kept, for a run draws no random number after its first weights: there is no
dropout, and data order and metadata dropout are functions of the seed and the sample's index.
"""

import json
import logging
import os
import pickle
import queue
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.strategies import filesystem_async
from torch.distributed.checkpoint import CheckpointException

from geo_nemo.config import RunError, UserError
from geo_nemo.config.files import PARTIAL, partial_of, sync_folder, sync_tree
from geo_nemo.train.engine import Engine
from geo_nemo.train.safe_pickle import check_index, weights_only

FORMAT = 1
RECORD = "geo_nemo.json"
# Optimizer state in the model's own shapes, so that TP, PP and DP may change between save and load.
_OPTIMIZER_SHARDING = {"distrib_optim_sharding_type": "fully_reshardable"}
# Megatron-Core logs what it then raises, which is told once, by the error.
logging.getLogger(filesystem_async.__name__).setLevel(logging.CRITICAL)
# What a failed save or load raises; torch's own is no Exception.
_FAILURES = (Exception, CheckpointException)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands, and what it must find unchanged to go on.

    step: optimizer steps done.
    stage_samples: samples consumed, by stage.
    fingerprint: hashes by name (store, tokenizer, model, each stage, ...).
    skipped, losses: see geo_nemo.train.bad_steps.
    """

    step: int
    stage_samples: dict[str, int]
    fingerprint: dict[str, str]
    skipped: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def save(engine: Engine, position: Position, directory: Path, keep_last: int) -> Path:
    """Write a whole checkpoint and drop the oldest ones; every rank calls it."""
    final = directory / f"step_{position.step:08d}"
    partial = partial_of(final)
    with _rank_zero_does(f"cannot write the checkpoint {final}") as mine:
        if mine:
            for left_by_a_kill in directory.glob(f"step_*{PARTIAL}"):
                shutil.rmtree(left_by_a_kill, ignore_errors=True)
            partial.mkdir(parents=True)
    # For its results Megatron-Core would start a manager process, which takes two seconds, and
    # stays behind when the run is killed. A save that waits for its end needs no more than a queue.
    filesystem_async._results_queue = queue.Queue()
    try:
        with engine.whole_parameters():
            dist_checkpointing.save(_state(engine, is_loading=False), str(partial))
    except _FAILURES as error:
        kind, reason = _why_not_saved(error, directory)
        if dist.get_rank() == 0:
            shutil.rmtree(partial, ignore_errors=True)  # every rank has stopped writing
        raise kind(f"cannot write the checkpoint {final}: {reason}") from error
    with _rank_zero_does(f"cannot write the checkpoint {final}") as mine:
        if mine:
            (partial / RECORD).write_text(
                json.dumps({"format": FORMAT, **asdict(position)}, indent=1)
            )
            sync_tree(partial)
            if final.exists():
                os.replace(final, partial_of(directory / f"{final.name}.before"))
            os.replace(partial, final)
            sync_folder(directory)
            for old in whole_checkpoints(directory)[:-keep_last]:
                os.replace(old, partial_of(old))
            for old in directory.glob(f"step_*{PARTIAL}"):
                shutil.rmtree(old)
    return final


def load(engine: Engine, checkpoint: Path) -> Position:
    """Restore model, optimizer and schedule from `checkpoint`; every rank calls it."""
    position = read_position(checkpoint)
    state = read_state(_state(engine, is_loading=True), checkpoint)
    for name, module in engine.parts.items():
        module.load_state_dict(state[name])
    engine.optimizer.load_state_dict(state["optimizer"])
    engine.schedule.num_steps = 0  # load_state_dict adds the steps to those already counted
    engine.schedule.load_state_dict(state["schedule"])
    return position


def read_state(sharded: dict, checkpoint: Path) -> dict:
    """The parts of `checkpoint` that `sharded` asks for; runs no code that the files may hold.

    Raises `UserError` in one line where a file is missing, cut off or not what it should be.
    """
    check_index(checkpoint / ".metadata")
    try:
        with weights_only():
            return dist_checkpointing.load(sharded, str(checkpoint))
    except _FAILURES as error:
        raise UserError(
            f"the checkpoint {checkpoint} does not load: {_root_cause(error)}; "
            "move it away to go on from the one before"
        ) from error


def whole_checkpoints(directory: Path) -> list[Path]:
    """Whole checkpoints under `directory`, oldest first."""
    found = (path.parent for path in directory.glob(f"step_*/{RECORD}"))
    return sorted(path for path in found if path.suffix != PARTIAL)


def newest(directory: Path) -> Path:
    """The newest whole checkpoint; `UserError` where there is none."""
    whole = whole_checkpoints(directory)
    if not whole:
        raise UserError(f"no whole checkpoint in {directory}: train first, or give another run")
    read_position(whole[-1])
    return whole[-1]


def read_position(checkpoint: Path) -> Position:
    """The position that a checkpoint records."""
    try:
        record = json.loads((checkpoint / RECORD).read_text())
        version = record.pop("format")
        position = Position(**record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{checkpoint} is not a checkpoint of geo_nemo: {error!r}") from None
    if version != FORMAT:
        raise UserError(f"{checkpoint} has format {version}; this version reads {FORMAT}")
    return position


def check_fingerprint(saved: dict[str, str], current: dict[str, str], checkpoint: Path) -> None:
    """Raise `UserError` that names everything that changed since the checkpoint."""
    changed = [name for name in current if saved.get(name) != current[name]]
    changed += [name for name in saved if name not in current]
    if changed:
        raise UserError(
            f"{', '.join(changed)} changed since the checkpoint {checkpoint}: "
            "restore what it was, or give another output_dir to start anew"
        )


def _state(engine: Engine, is_loading: bool) -> dict:
    models = {name: module.sharded_state_dict() for name, module in engine.parts.items()}
    return {
        **models,
        "optimizer": engine.optimizer.sharded_state_dict(
            models, is_loading=is_loading, metadata=_OPTIMIZER_SHARDING
        ),
        "schedule": engine.schedule.state_dict(),
    }


@contextmanager
def _rank_zero_does(failure: str) -> Iterator[bool]:
    """Run the block's work on rank 0; where it fails there, every rank raises the same error."""
    problem = ""
    try:
        yield dist.get_rank() == 0
    except OSError as error:
        problem = error.strerror or str(error)
    shared = [problem]
    dist.broadcast_object_list(shared, src=0)
    if shared[0]:
        raise UserError(f"{failure}: {shared[0]}")


def _why_not_saved(error: BaseException, directory: Path) -> tuple[type[Exception], str]:
    """Kind and reason of a failed save, the same on every rank where every rank failed."""
    reason = _root_cause(error)
    mendable = isinstance(_root(error), OSError)
    if "inline_container" in reason:
        # torch's writer of zip files ends so when the system refused one of its writes.
        free = shutil.disk_usage(directory).free / 1e9
        reason = (
            f"the system refused to write a file to its end, with {free:.1f} GB free: "
            "mend the disk, quota or limit on file sizes"
        )
        mendable = True
    if isinstance(error, CheckpointException):  # raised on every rank, told to the first alone
        everyone: list = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, (mendable, reason) if error.failures else None)
        mendable, reason = next(told for told in everyone if told)
    return (UserError if mendable else RunError), reason


def _root(error: BaseException) -> BaseException:
    """The innermost of a chain of exceptions; of several ranks', the first rank's."""
    while True:
        if isinstance(error, CheckpointException) and error.failures:
            error = error.failures[min(error.failures)][0]
        elif error.__cause__ or error.__context__:
            error = error.__cause__ or error.__context__
        else:
            return error


def _root_cause(error: BaseException) -> str:
    """The message of the innermost of a chain of exceptions, on one line."""
    root = _root(error)
    if isinstance(root, pickle.UnpicklingError):  # torch's text tells how to load it all the same
        named = re.search(r"GLOBAL (\S+)", str(root))
        return "an entry is cut off" if not named else f"an entry holds {named[1]}, not weights"
    if not str(root):
        return f"a file is cut off ({type(root).__name__})"
    return " ".join(f"{type(root).__name__}: {root}".split())[:300]
