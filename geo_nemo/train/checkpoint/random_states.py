"""Random states of a process, as JSON: a file a rank in each checkpoint.

A run draws no random number after its first weights: there is no dropout, and data order and
metadata dropout are functions of the seed and the sample's index. The states are kept for what may
come to draw one. They belong to a layout, and those of a device to its kind: under another one they
are left as they are.
"""

import base64
import json
import random
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from megatron.core import parallel_state, tensor_parallel

from geo_nemo.common.parse import parse_json
from geo_nemo.config import UserError


def file_name(rank: int) -> str:
    return f"random_{rank:05d}.json"


def random_states() -> bytes:
    """The states of Python, NumPy, torch, this device and Megatron-Core's tracker."""
    kind, keys, *rest = cast("tuple[Any, ...]", np.random.get_state())
    version, inner, gauss = random.getstate()
    tracker = tensor_parallel.get_cuda_rng_tracker().get_states()
    states = {
        "layout": _layout(),
        "python": [version, list(inner), gauss],
        "numpy": [kind, keys.tolist(), *rest],
        "torch": _text(torch.get_rng_state()),
        "device": _text(torch.cuda.get_rng_state()) if torch.cuda.is_initialized() else None,
        "tracker": {
            name: _text(state)
            for name, state in tracker.items()
            if isinstance(state, torch.Tensor)  # a CUDA graph's is another kind
        },
    }
    return json.dumps(states).encode()


def restore_random_states(checkpoint: Path) -> None:
    """Set the states that this rank saved, where the layout is the same."""
    path = checkpoint / file_name(dist.get_rank())
    if not path.exists():
        return
    try:
        states = parse_json(path.read_bytes())
        if states["layout"] != _layout():
            return
        version, inner, gauss = states["python"]
        random.setstate((version, tuple(inner), gauss))
        kind, keys, *rest = states["numpy"]
        np.random.set_state((kind, np.array(keys, np.uint32), *rest))
        torch.set_rng_state(_state(states["torch"]))
        if states["device"] is not None and torch.cuda.is_initialized():
            torch.cuda.set_rng_state(_state(states["device"]))
        tracker = tensor_parallel.get_cuda_rng_tracker()
        current = tracker.get_states()
        kept = {name: _state(text) for name, text in states["tracker"].items()}
        # The state of a GPU's generator is not one of a CPU's, as its length tells.
        fitting = {
            name: state
            for name, state in kept.items()
            if isinstance(now := current.get(name), torch.Tensor) and now.numel() == state.numel()
        }
        tracker.set_states({**current, **fitting})
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} holds no random states: {error!r}") from None


def _layout() -> list[int]:
    return [
        dist.get_world_size(),
        parallel_state.get_tensor_model_parallel_world_size(),
        parallel_state.get_pipeline_model_parallel_world_size(),
        parallel_state.get_context_parallel_world_size(),
    ]


def _text(state: torch.Tensor) -> str:
    return base64.b64encode(state.cpu().numpy().tobytes()).decode()


def _state(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
