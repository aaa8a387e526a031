"""The fp32 weights that this rank's optimizer steps, and their places in the whole ones.

Under the distributed optimizer a rank owns flat slices of parameters. A slice stands in a
checkpoint as boxes of the parameter's own shape, so that its names and shapes do not depend on the
layout.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import torch
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.dist_checkpointing.utils import extract_sharded_tensors_and_factories
from megatron.core.fp8_utils import is_float8tensor
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

from geo_nemo.train.engine import Engine

Box = tuple[tuple[int, ...], tuple[int, ...]]
Whole: TypeAlias = ShardedTensor | ShardedTensorFactory


class Master(NamedTuple):
    """values: fp32, flat, the live ones; they stand at `first` of the flat parameter."""

    parameter: torch.nn.Parameter
    values: torch.Tensor
    first: int


def masters(engine: Engine) -> Iterator[Master]:
    """What this rank's optimizer steps, in an order that does not change."""
    if not engine.distributed_optimizers:
        for parameter in engine.parameters():
            main = getattr(parameter, "main_param", parameter)
            yield Master(parameter, main.detach().view(-1), 0)
        return
    for optimizer in engine.distributed_optimizers:
        for parameter, first in owned(optimizer):
            # Not by the optimizer's state, which a mere look at would begin.
            group, place = optimizer.model_param_group_index_map[parameter]
            main = optimizer.optimizer.param_groups[group]["params"][place]
            yield Master(parameter, main.detach().view(-1), first)


def owned(optimizer: DistributedOptimizer) -> Iterator[tuple[torch.nn.Parameter, int]]:
    """Parameters of which this rank owns a slice, and where in the flat parameter it begins."""
    for by_dtype in optimizer.gbuf_ranges:
        for buckets in by_dtype.values():
            for bucket in buckets:
                for parameter, ranges in bucket["param_map"].items():
                    yield parameter, ranges["param"].start


def wholes_of(models: dict[str, Any]) -> dict[torch.nn.Parameter, Whole]:
    """Each parameter's place in a checkpoint, from the sharded state of the modules."""
    sharded, _ = extract_sharded_tensors_and_factories(models)
    return {whole.data: whole for whole in nested_values(sharded)}


def boxes_of(
    whole: Whole, prefix: str, values: torch.Tensor, first: int
) -> Iterator[ShardedTensor]:
    """`values`, which stand at `first` of the flat parameter, as boxes of what it is saved as.

    prefix: goes before the parameter's name.
    """
    if is_float8tensor(whole.data):  # has no flat storage; places follow from its shape alone
        whole = replace(whole, data=torch.empty(whole.data.shape, device="meta"))
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
                key=f"{prefix}.{leaf.key}",
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
