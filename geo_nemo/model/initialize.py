"""Initial weights that do not depend on the parallel layout.

Megatron-Core seeds by rank, so that another tensor or pipeline size gives another model. Here each
weight is drawn whole from a generator keyed by the seed and the weight's name, and a process keeps
its slice. A loss curve is then comparable between layouts from the first step.
"""

import hashlib
import math

import torch
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.fp8_utils import is_float8tensor

from geo_nemo.config import Model

# Projections back into the residual stream, scaled down by depth (GPT-2; Megatron's default).
_INTO_RESIDUAL = ("linear_proj.weight", "linear_fc2.weight")


@torch.no_grad()
def initialize(module: torch.nn.Module, model: Model, seed: int) -> None:
    """Fill every weight of `module` in place: normal matrices, norms of ones, biases and group
    embeddings of zeros."""
    state = module.sharded_state_dict()
    for key in [key for key, entry in state.items() if _is_fp8(entry)]:
        entry = state.pop(key)
        # Parts of a weight in FP8 cannot be written, as gate and up are: the whole is cast at once.
        weight, entry.data = entry.data, torch.empty(entry.data.shape, dtype=entry.data.dtype)
        _fill({key: entry}, model, seed)
        weight.copy_(entry.data)
        if hasattr(weight, "get_high_precision_init_val"):
            # The optimizer takes its fp32 weights from what Megatron-Core drew, unless told.
            weight.get_high_precision_init_val().copy_(entry.data)
    _fill(state, model, seed)


def _is_fp8(entry) -> bool:
    data = getattr(entry, "data", None)
    return isinstance(data, torch.Tensor) and is_float8tensor(data)


def _fill(state: dict, model: Model, seed: int) -> None:
    for shard in _shards(state):
        if shard.key.endswith("_extra_state") or "norm" in shard.key:
            if "norm" in shard.key and shard.key.endswith("weight"):
                shard.data.fill_(1.0)
            continue
        if shard.key.endswith((".bias", "group_embedding.weight")):
            shard.data.zero_()
            continue
        std = model.init_method_std
        if shard.key.endswith(_INTO_RESIDUAL):
            std /= math.sqrt(2 * model.num_layers)
        shard.data.copy_(_slice_of_whole(shard, std, seed))


def _slice_of_whole(shard: ShardedTensor, std: float, seed: int) -> torch.Tensor:
    prepended = shard.prepend_axis_num
    place = shard.global_offset[:prepended]
    name = f"{seed}/{shard.key}/{'.'.join(map(str, place))}"
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
    generator = torch.Generator().manual_seed(key)
    whole = torch.empty(shard.global_shape[prepended:]).normal_(0.0, std, generator=generator)
    for axis, (start, length) in enumerate(
        zip(shard.global_offset[prepended:], shard.data.shape, strict=True)
    ):
        whole = whole.narrow(axis, start, length)
    return whole


def _shards(state: dict) -> list[ShardedTensor]:
    """The sharded tensors of a state dict; factories (SwiGLU's gate and up) are taken apart."""
    shards = []
    for value in state.values():
        if isinstance(value, ShardedTensorFactory):
            value = value.build()
        if isinstance(value, ShardedTensor):
            shards.append(value)
        elif isinstance(value, dict):
            shards.extend(_shards(value))
        elif isinstance(value, list | tuple):
            shards.extend(item for item in value if isinstance(item, ShardedTensor))
    return shards
