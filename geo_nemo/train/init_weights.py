"""The first weights of a run, from another run's checkpoint or a Hugging Face folder.

Each rank reads what its place in the layout holds, in fp32: the weights that a source's optimizer
stepped, where it has them; with `init.optimizer` its moments, too. Schedule, step and random states
stay the new run's own.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.dist_checkpointing.optimizer import make_sharded_optimizer_tensor

from geo_nemo.common.addresses import is_remote
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import Checkpoint, Run, UserError
from geo_nemo.model.hugging_face import HuggingFaceModel
from geo_nemo.train.checkpoint.copies import Copies
from geo_nemo.train.checkpoint.errors import everywhere, rank_zero_does
from geo_nemo.train.checkpoint.files import content_problem, listed_files, read_record
from geo_nemo.train.checkpoint.load import load_trained, read_state
from geo_nemo.train.checkpoint.names import prefix_of
from geo_nemo.train.checkpoint.safe_pickle import check_index
from geo_nemo.train.collectives import meet
from geo_nemo.train.engine import Engine
from geo_nemo.train.ledger import trained_before
from geo_nemo.train.masters import Whole, masters, wholes_of
from geo_nemo.train.origin import HUGGING_FACE, Origin, init_of, look_up
from geo_nemo.train.setup import Prepared

_READ = "initial"


def load_initial(
    engine: Engine, prepared: Prepared, progress: Progress = no_progress
) -> list[dict[str, Any]]:
    """Give `engine` the weights of `prepared.origin`; every rank calls it.

    Returns what they were trained on before: an entry a run, see geo_nemo.train.ledger.
    Raises `UserError` in one line, the same on every rank, where the source is not as it was found.
    """
    origin, now = prepared.origin, None
    assert origin is not None
    with rank_zero_does(f"cannot read init.checkpoint={origin.place}") as mine:
        if mine:
            now = look_up(_of_place(prepared.run, origin), prepared.tokenizer)
    found = everywhere(now)[0]
    if found is None or found.identity != origin.identity:
        raise UserError(
            f"init.checkpoint={origin.place} was changed since this run began from it: restore "
            "it, or give another output_dir"
        )
    if origin.kind == HUGGING_FACE:
        source = HuggingFaceModel(
            Path(origin.place),
            prepared.run.model,
            prepared.vocab_size,
            init_of(prepared.run).new_rows == "mean",
        )
        _set(engine, _of_hugging_face(engine, source))
        return []
    if not is_remote(origin.place):
        return _begin_from(engine, Path(origin.place), origin)
    parent, _, name = origin.place.rpartition("/")
    folder = Path(prepared.run.output_dir) / "init"
    damage = Copies(Checkpoint(remote=parent), engine.device).fetch(name, folder, progress)
    if damage:
        raise UserError(f"init.checkpoint={origin.place} is not whole: {damage}")
    before = _begin_from(engine, folder / name, origin)
    meet()  # the others may be reading it
    with rank_zero_does(f"cannot remove {folder}") as mine:
        if mine:
            shutil.rmtree(folder)
    return before


def _begin_from(engine: Engine, checkpoint: Path, origin: Origin) -> list[dict[str, Any]]:
    _check_content(checkpoint)
    if origin.optimizer:
        load_trained(engine, checkpoint)
    else:
        _set(engine, _of_checkpoint(engine, checkpoint, origin))
    return trained_before(read_record(checkpoint))


def _of_place(run: Run, origin: Origin) -> Run:
    """`run` with the very source that was found; that of `newest` may be another by now."""
    init = init_of(run).model_copy(update={"checkpoint": origin.place})
    return run.model_copy(update={"init": init})


@torch.no_grad()
def _set(engine: Engine, values: list[torch.Tensor]) -> None:
    """Give parameters, in their order, and the weights that the optimizer steps these values."""
    whole = dict(zip(engine.parameters(), values, strict=True))
    with engine.whole_parameters():
        for parameter, value in whole.items():
            parameter.copy_(value)
        for master in masters(engine):
            first, last = master.first, master.first + len(master.values)
            master.values.copy_(whole[master.parameter].reshape(-1)[first:last])


def _check_content(checkpoint: Path) -> None:
    """Raise `UserError` where a file is not as it was; each rank reads its part of them."""
    files = listed_files(read_record(checkpoint))
    by_size = sorted(files, key=lambda name: (-files[name].size, name))
    part = by_size[dist.get_rank() :: dist.get_world_size()]
    damage = next(filter(None, everywhere(content_problem(checkpoint, part))), "")
    if damage:
        raise UserError(f"init.checkpoint={checkpoint} is not whole: {damage}")


def _of_checkpoint(engine: Engine, checkpoint: Path, origin: Origin) -> list[torch.Tensor]:
    check_index(checkpoint / ".metadata")
    names = dist_checkpointing.load_tensors_metadata(str(checkpoint)).keys()
    wanted = _wanted(engine, prefix_of(origin.weights, names))
    read = read_state({"weights": dict(enumerate(wanted))}, checkpoint)["weights"]
    return [read[number] for number in range(len(wanted))]


def _of_hugging_face(engine: Engine, source: HuggingFaceModel) -> list[torch.Tensor]:
    wanted = _wanted(engine, _READ)
    held: tuple[tuple[str, int | None], np.ndarray] | None = None
    for shard in _leaves(wanted):
        name = shard.key.removeprefix(f"{_READ}.")
        ahead = shard.prepend_axis_num
        place = (name, shard.global_offset[0] if ahead else None)
        if held is None or held[0] != place:
            held = (place, source.whole(*place))
        _fill(shard, held[1], ahead)
    return [each.data for each in wanted]


def _fill(shard: ShardedTensor, whole: np.ndarray, ahead: int) -> None:
    """Copy the shard's part of a parameter; what the parameter lacks, rows of padding, stays 0."""
    offset = shard.global_offset[ahead:]
    part = whole[
        tuple(
            slice(start, start + length)
            for start, length in zip(offset, shard.data.shape, strict=True)
        )
    ]
    shard.data[: len(part)].copy_(torch.from_numpy(np.ascontiguousarray(part)))


def _wanted(engine: Engine, prefix: str) -> list[Whole]:
    """Each parameter of this rank in fp32, by its place in the whole one; its name after prefix."""
    models = {name: module.sharded_state_dict() for name, module in engine.parts.items()}
    wholes = wholes_of(models)
    return [
        _named(wholes[parameter], prefix, torch.zeros(parameter.shape, device=parameter.device))
        for parameter in engine.parameters()
    ]


def _named(whole: Whole, prefix: str, values: torch.Tensor) -> Whole:
    made = make_sharded_optimizer_tensor(whole, values, prefix)
    if not prefix:
        made.key = whole.key
    return made


def _leaves(wanted: list[Whole]) -> Iterator[ShardedTensor]:
    for each in wanted:
        built = each.build() if isinstance(each, ShardedTensorFactory) else [each]
        yield from nested_values({"built": built})
