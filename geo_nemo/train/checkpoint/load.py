"""Checkpoints: whole or absent, in Megatron-Core's sharded format, readable at other layouts.

    checkpoints/latest                         the name of the newest whole one
    checkpoints/step_00000100/                 model, optimizer, schedule: torch_dist shards
    checkpoints/step_00000100/random_*.json    random states, by rank
    checkpoints/step_00000100/geo_nemo.json    position, config, and size and hash of every file

A checkpoint is written under a name that ends in `.partial`, synced, and renamed, so a kill at any
moment leaves the newest whole one in place. What is damaged later is found by the hashes.
"""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.strategies import filesystem_async

from geo_nemo.config import Precision, UserError
from geo_nemo.train.average import WeightAverage
from geo_nemo.train.checkpoint.errors import FAILURES, root_cause
from geo_nemo.train.checkpoint.files import newest_whole, read_record
from geo_nemo.train.checkpoint.fp8_state import load_weights, restore_scales
from geo_nemo.train.checkpoint.safe_pickle import check_index, weights_only
from geo_nemo.train.checkpoint.state import sharded_state
from geo_nemo.train.engine import Engine

# Ends of the learning rate, the same in all groups of ours. Megatron-Core takes them, since 0.19,
# for a part of a group's name when it looks for the group in what was saved.
_RATES = ("max_lr", "min_lr")

# Megatron-Core logs what it then raises, which is told once, by the error.
logging.getLogger(filesystem_async.__name__).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run stands, and what it must find unchanged to go on.

    step: optimizer steps done.
    stage_samples: samples consumed, by stage.
    fingerprint: hashes by name (store, tokenizer, model, each stage's policy, ...).
    skipped: steps that were left out, or are to be.
    score: validation loss at this step, None where it was not measured here.
    config: the settings of the run.
    states: what callbacks keep, by their names: `ledger` is what was read, by stage and group.
    """

    step: int
    stage_samples: dict[str, int]
    fingerprint: dict[str, str]
    skipped: list[int] = field(default_factory=list)
    score: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """As a checkpoint's `geo_nemo.json` has it; see `read_position`."""
        states = {name: state for name, state in self.states.items() if name not in _AT_TOP}
        top = {"losses": self.states.get("bad_steps", {}).get("losses", [])}
        top["ledger"] = self.states.get("ledger", {})
        return asdict(self) | top | {"states": states}


# Callbacks whose states stand at the top of a record: there were no others at first.
_AT_TOP = ("bad_steps", "ledger")


def load(engine: Engine, checkpoint: Path, average: WeightAverage | None = None) -> Position:
    """Restore model, optimizer, schedule and average from `checkpoint`; every rank calls it."""
    position = read_position(checkpoint)
    state = read_state(sharded_state(engine, is_loading=True, average=average), checkpoint)
    _give(engine, state, checkpoint)
    engine.schedule.num_steps = 0  # load_state_dict adds the steps to those already counted
    engine.schedule.load_state_dict(state["schedule"])
    if average is not None:
        average.load_state(state["average"])
    return position


def load_trained(engine: Engine, checkpoint: Path) -> None:
    """Restore model and moments alone, for a run that goes on from another; every rank calls it.

    The optimizer's settings, as betas and learning rate, stay the engine's own.
    """
    groups = engine.optimizer.param_groups
    own = [{k: v for k, v in group.items() if k not in ("params", "step")} for group in groups]
    state = read_state(sharded_state(engine, is_loading=True), checkpoint)
    for saved in _groups(state["optimizer"]):
        saved.update({name: own[0][name] for name in _RATES if name in own[0]})
    _give(engine, state, checkpoint)
    for group, settings in zip(engine.optimizer.param_groups, own, strict=True):
        group.update(settings)


def _groups(state: Any) -> Iterator[dict[str, Any]]:
    """The groups of parameters in an optimizer's state, of each optimizer where it has several."""
    if isinstance(state, dict):
        yield from state.get("param_groups", ())
        for part in state.values():
            yield from _groups(part)


def _give(engine: Engine, state: dict[str, Any], checkpoint: Path) -> None:
    """Give model and optimizer what was read of `checkpoint`."""
    if engine.config.fp8 and engine.config.fp8_recipe == "delayed":
        from megatron.core.fp8_utils import get_fp8_recipe

        # Before the weights: those that are kept in FP8 are rounded with these scales.
        restore_scales(engine.modules, checkpoint, get_fp8_recipe(engine.config))
    for name, module in engine.parts.items():
        load_weights(module, state[name])
    engine.optimizer.load_state_dict(state["optimizer"])
    for group in engine.optimizer.param_groups:
        # A CPU's groups did not have it at first, and FusedAdam does not go without.
        group.setdefault("bias_correction", True)


def read_state(sharded: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """The parts of `checkpoint` that `sharded` asks for; runs no code that the files may hold.

    Raises `UserError` in one line where a file is missing, cut off or not what it should be.
    """
    check_index(checkpoint / ".metadata")
    try:
        with weights_only():
            return dist_checkpointing.load(sharded, str(checkpoint))
    except FAILURES as error:
        raise UserError(
            f"the checkpoint {checkpoint} does not load: {root_cause(error)}; "
            "move it away to go on from the one before"
        ) from error


def newest(directory: Path) -> Path:
    """The newest whole checkpoint, read and compared; `UserError` where there is none.

    One process calls it. Those that are refused on the way are named on the error output.
    """
    found = newest_whole(directory)
    if found is None:
        raise UserError(f"no whole checkpoint in {directory}: train first, or give another run")
    return found


def read_position(checkpoint: Path) -> Position:
    """The position that a checkpoint records."""
    try:
        record = read_record(checkpoint)
        states = record.get("states", {})
        states |= {"bad_steps": {"losses": record["losses"]}, "ledger": record["ledger"]}
        record = {**record, "states": states}
        return Position(**{each.name: record[each.name] for each in fields(Position)})
    except (ValueError, KeyError) as error:
        raise UserError(f"{checkpoint} is not a checkpoint of geo_nemo: {error}") from None


def precision_note(saved: dict[str, Any], current: Precision) -> str:
    """What a run goes on with that its checkpoint was not trained with; empty: nothing.

    saved: the settings that the checkpoint records.
    """
    before = saved.get("precision", {})
    was, now = before.get("fp8", {}).get("recipe", "none"), current.fp8.recipe
    parts = [] if was == now else [f"{_shown(was)} before, {_shown(now)} from here"]
    had, has = before.get("moments", "fp32"), current.moments
    parts += [] if had == has else [f"moments in {had} before, in {has} from here"]
    return "; ".join(parts)


def _shown(recipe: str) -> str:
    return "BF16" if recipe == "none" else f"FP8 ({recipe})"
