"""What FP8 adds to a run's state, in checkpoints that hold no pickled code.

Transformer Engine keeps its state of FP8 in `_extra_state` entries, as pickled bytes, and unpickles
them when they are loaded. Here such an entry is saved empty, for the sake of other readers, and
never read. What a run needs of it are the scales of the delayed recipe and the largest values that
they follow: they go into a file of plain arrays beside the shards,

    checkpoints/step_00000100/fp8_0000.npz     scales and histories of a pipeline rank's layers

by the layer's number in the whole model, so that another layout finds them. Other recipes find each
scale anew. A run that goes on from BF16 has no such file, and begins its scales at one.

Weights in FP8 are saved in BF16, made from the FP8 values; the optimizer's fp32 weights beside them
are exact, and the FP8 ones are made from those after the next step.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from megatron.core import parallel_state
from megatron.core.dist_checkpointing.mapping import ShardedObject
from megatron.core.fp8_utils import is_float8tensor

from geo_nemo.config import UserError
from geo_nemo.train.fp8_scales import KINDS, WAYS, fp8_layers, scales_of

_EXTRA = "_extra_state"


def sharded_weights(module: torch.nn.Module, is_loading: bool) -> dict[str, Any]:
    """The sharded state of a module without Transformer Engine's pickled bytes.

    is_loading: without those entries, which are then not read, whatever a checkpoint has in them.
    """
    state = module.sharded_state_dict()
    for key in [key for key in state if key.endswith(_EXTRA)]:
        if is_loading:
            del state[key]
        elif isinstance(state[key], ShardedObject):
            state[key].data = None
    return state


def in_bf16(state: dict[str, Any]) -> dict[str, Any]:
    """A sharded state whose weights in FP8 are tensors of their own, in BF16."""
    return {
        key: replace(entry, data=entry.data.dequantize())
        if isinstance(getattr(entry, "data", None), torch.Tensor) and is_float8tensor(entry.data)
        else entry
        for key, entry in state.items()
    }


def load_weights(module: torch.nn.Module, state: dict[str, Any]) -> None:
    """Load what `sharded_weights` asked for; `UserError` where a weight is missing or too many."""
    found = module.load_state_dict(state, strict=False)
    wrong = [
        key
        for key in (*found.missing_keys, *found.unexpected_keys)
        if not key.rpartition(".")[2].startswith(_EXTRA)
    ]
    if wrong:
        raise UserError(
            f"the checkpoint does not have the model's weights: {', '.join(wrong[:3])} "
            f"({len(wrong)} in all); give the settings of the run that wrote it"
        )


def delayed_scales(modules: list[torch.nn.Module]) -> dict[str, bytes]:
    """The file of scales that this rank writes, by its name; none where another rank does.

    Ranks of a pipeline stage have the same: Transformer Engine takes the largest value of all.
    """
    if parallel_state.get_tensor_model_parallel_rank() or parallel_state.get_data_parallel_rank(
        with_context_parallel=True
    ):
        return {}
    arrays = scales_of(modules)
    if not arrays:
        return {}
    content = io.BytesIO()
    np.savez(content, **cast("dict[str, Any]", arrays))
    return {f"fp8_{parallel_state.get_pipeline_model_parallel_rank():04d}.npz": content.getvalue()}


def restore_scales(modules: list[torch.nn.Module], folder: Path, recipe: Any) -> int:
    """Give the layers the scales of the checkpoint in `folder`; how many layers it had them for.

    recipe: Transformer Engine's, of the delayed kind. As its own `set_extra_state` does.
    """
    saved = _read(folder)
    restored = 0
    for name, layer in fp8_layers(modules):
        if f"{name}.{WAYS[0]}.{KINDS[0]}" not in saved:
            continue
        layer.fp8_meta["recipe"] = recipe
        layer.fp8_meta.setdefault("num_gemms", 1)
        layer.init_fp8_meta_tensors(recipe)
        for way in WAYS:
            state = layer.fp8_meta[way]
            state.scale.copy_(torch.from_numpy(saved[f"{name}.{way}.scale"]))
            history = torch.from_numpy(saved[f"{name}.{way}.amax_history"])
            rows = min(len(history), len(state.amax_history))
            state.amax_history.zero_()
            state.amax_history[:rows].copy_(history[:rows])
        restored += 1
    return restored


def _read(folder: Path) -> dict[str, np.ndarray]:
    saved: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("fp8_*.npz")):
        try:
            with np.load(path, allow_pickle=False) as file:
                saved |= {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"cannot read the FP8 scales in {path}: {error}") from None
    return saved
