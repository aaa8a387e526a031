"""What a checkpoint holds of model and optimizer, as sharded tensors that need no copy.

Megatron-Core's own way to a checkpoint that may change TP, PP and DP gathers the distributed
optimizer's whole state on every data-parallel rank, several copies of it, before a byte is written.
Here each rank gives the part that it owns: a flat slice of a parameter, cut into boxes of the
parameter's own shape. Names and shapes in the checkpoint are the same, so Megatron-Core reads it.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.dist_checkpointing.utils import extract_sharded_tensors_and_factories
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

from geo_nemo.train.engine import Engine

_SHARDING = "fully_reshardable"
_KEYS = ("param", "exp_avg", "exp_avg_sq")

Box = tuple[tuple[int, ...], tuple[int, ...]]


def sharded_state(engine: Engine, is_loading: bool) -> dict:
    """The state of `engine`; its tensors are views of the live ones unless `is_loading`."""
    models = {name: module.sharded_state_dict() for name, module in engine.parts.items()}
    return {
        **models,
        "optimizer": _optimizer_state(engine.optimizer, models, is_loading),
        "schedule": engine.schedule.state_dict(),
    }


def _optimizer_state(optimizer, models: dict, is_loading: bool) -> dict:
    inner = getattr(optimizer, "chained_optimizers", [optimizer])
    if is_loading or len(inner) != 1 or not isinstance(inner[0], DistributedOptimizer):
        metadata = {"distrib_optim_sharding_type": _SHARDING}
        return optimizer.sharded_state_dict(models, is_loading=is_loading, metadata=metadata)
    return {
        **inner[0].state_dict(),
        "param_state": dict(enumerate(_owned(inner[0], models))),
        "param_state_sharding_type": _SHARDING,
    }


def _owned(optimizer: DistributedOptimizer, models: dict) -> Iterator[ShardedTensor]:
    """This rank's part of main parameters and moments."""
    sharded, _ = extract_sharded_tensors_and_factories(models)
    wholes = {whole.data: whole for whole in nested_values(sharded)}
    for by_dtype in optimizer.gbuf_ranges:
        for buckets in by_dtype.values():
            for bucket in buckets:
                for parameter, ranges in bucket["param_map"].items():
                    state = optimizer._get_main_param_and_optimizer_states(parameter)
                    main = state["param"]
                    for key in _KEYS:
                        # A parameter that was never stepped has no moments yet.
                        values = state[key] if key in state else torch.zeros_like(main)
                        yield from _boxes_of(
                            wholes[parameter], key, values.detach().float().flatten(),
                            ranges["param"].start,
                        )  # fmt: skip


def _boxes_of(
    whole: ShardedTensor | ShardedTensorFactory, key: str, values: torch.Tensor, first: int
) -> Iterator[ShardedTensor]:
    """`values`, which stand at `first` of the flat parameter, as boxes of what it is saved as."""
    leaves = whole.build() if isinstance(whole, ShardedTensorFactory) else [whole]
    for leaf in nested_values({"leaves": leaves}):
        if not leaf.data.is_contiguous():
            raise NotImplementedError(f"{leaf.key} is saved as no run of its parameter")
        start = leaf.data.storage_offset() - whole.data.storage_offset()
        low = max(first, start) - start
        high = min(first + len(values), start + leaf.data.numel()) - start
        if low >= high:
            continue
        ahead = (1,) * leaf.prepend_axis_num
        place = start + low - first
        for offset, shape in boxes(tuple(leaf.data.shape), low, high):
            count = math.prod(shape)
            offset = tuple(map(sum, zip(leaf.global_offset, (0,) * len(ahead) + offset)))  # noqa: B905
            yield replace(
                leaf,
                key=f"optimizer.state.{key}.{leaf.key}",
                data=values[place : place + count].view(ahead + shape),
                dtype=values.dtype,
                local_shape=ahead + shape,
                global_offset=offset,
                axis_fragmentations=None,
                prepend_axis_num=0,
                # Data-parallel ranks share the parameter, and each owns its own part of it.
                replica_id=(*leaf.replica_id[:-1], 0),
            )
            place += count


def boxes(shape: tuple[int, ...], low: int, high: int) -> Iterator[Box]:
    """Positions `low` to `high` of an array of `shape`, flat, as (offset, shape) in its own shape.

    At most 2 x dimensions - 1 of them, in the order of the positions.
    """
    if not shape:
        yield (), ()
        return
    inner = math.prod(shape[1:])
    (row, skipped), (last, rest) = divmod(low, inner), divmod(high, inner)
    if row == last or (row + 1 == last and skipped and not rest):
        for offset, part in boxes(shape[1:], skipped, high - row * inner):
            yield (row, *offset), (1, *part)
        return
    if skipped:
        yield from boxes(shape, low, (row + 1) * inner)
        row += 1
    if row < last:
        yield (row, *(0,) * len(shape[1:])), (last - row, *shape[1:])
    if rest:
        for offset, part in boxes(shape[1:], 0, rest):
            yield (last, *offset), (1, *part)
