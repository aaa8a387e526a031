"""What a checkpoint holds of model and optimizer, as sharded tensors that need no copy.

Megatron-Core's own way to a checkpoint that may change TP, PP and DP gathers the distributed
optimizer's whole state on every data-parallel rank, several copies of it, before a byte is written.
Here each rank gives the part that it owns: a flat slice of a parameter, cut into boxes of the
parameter's own shape. Names and shapes in the checkpoint are the same, so Megatron-Core reads it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from megatron.core.dist_checkpointing.mapping import ShardedTensor
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

from geo_nemo.train.average import WeightAverage
from geo_nemo.train.checkpoint.fp8_state import in_bf16, sharded_weights
from geo_nemo.train.engine import Engine
from geo_nemo.train.masters import boxes_of, owned, wholes_of

_SHARDING = "fully_reshardable"
_KEYS = ("param", "exp_avg", "exp_avg_sq")


def sharded_state(
    engine: Engine, is_loading: bool, average: WeightAverage | None = None
) -> dict[str, Any]:
    """The state of `engine`; its tensors are views of the live ones unless `is_loading`.

    average: goes with it, where the run keeps one.
    """
    models = {name: sharded_weights(module, is_loading) for name, module in engine.parts.items()}
    state = {
        **{name: in_bf16(weights) for name, weights in models.items()},
        "optimizer": _optimizer_state(engine, models, is_loading),
        "schedule": engine.schedule.state_dict(),
    }
    if average is not None:
        state["average"] = average.sharded_state(models, is_loading)
    return state


def _optimizer_state(engine: Engine, models: dict[str, Any], is_loading: bool) -> dict[str, Any]:
    distributed = engine.distributed_optimizers
    if is_loading or len(distributed) != 1:
        metadata = {"distrib_optim_sharding_type": _SHARDING}
        return engine.optimizer.sharded_state_dict(models, is_loading=is_loading, metadata=metadata)
    return {
        **distributed[0].state_dict(),
        "param_state": dict(enumerate(_slices(distributed[0], models))),
        "param_state_sharding_type": _SHARDING,
    }


def _slices(optimizer: DistributedOptimizer, models: dict[str, Any]) -> Iterator[ShardedTensor]:
    """This rank's part of main parameters and moments."""
    wholes = wholes_of(models)
    for parameter, first in owned(optimizer):
        state = optimizer._get_main_param_and_optimizer_states(parameter)
        main = state["param"]
        for key in _KEYS:
            # A parameter that was never stepped has no moments yet.
            values = state[key] if key in state else torch.zeros_like(main)
            values = values.detach().float().flatten()
            yield from boxes_of(wholes[parameter], f"optimizer.state.{key}", values, first)
