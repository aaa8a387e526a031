"""Scales of the delayed FP8 recipe, and the largest values that they follow, in a model's layers.

Every other recipe finds each scale anew, and has none of these.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

WAYS = ("scaling_fwd", "scaling_bwd")
KINDS = ("scale", "amax_history")
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.*)")
# Its scales are of use in FP8 attention alone, which packed sequences do not have.
_WITHOUT = "core_attention"


def fp8_layers(modules: list[torch.nn.Module]) -> Iterator[tuple[str, torch.nn.Module]]:
    """Transformer Engine's linear layers, by their names in the whole model."""
    for module in modules:
        for name, layer in module.named_modules():
            place = _LAYER.fullmatch(name)
            if place is None or not hasattr(layer, "fp8_meta") or name.endswith(_WITHOUT):
                continue
            number = module.decoder.layers[int(place[1])].layer_number - 1
            yield f"decoder.layers.{number}.{place[2]}", layer


def scales_of(modules: list[torch.nn.Module]) -> dict[str, np.ndarray]:
    """Scales [n] and histories [length, n] of the layers, fp32, by name."""
    return {name: held.detach().cpu().float().numpy() for name, held in _tensors(modules)}


@contextmanager
def scales_kept(modules: list[torch.nn.Module]) -> Iterator[None]:
    """What is computed within the block leaves the scales as they are.

    Transformer Engine notes the largest values of every forward pass, also of one without
    gradients, and takes its next scales from them.
    """
    back = _remembered(modules)
    try:
        yield
    finally:
        back()


@contextmanager
def scales_of_taken_steps(modules: list[torch.nn.Module]) -> Iterator[None]:
    """Where the block raises, the scales are as they were before it.

    A value that is not finite would stay in the histories, and while it does Transformer Engine
    changes no scale: for `amax_history_len` micro-batches after a step that was skipped.
    """
    back = _remembered(modules)
    try:
        yield
    except BaseException:
        back()
        raise


def _remembered(modules: list[torch.nn.Module]) -> Callable[[], None]:
    """What puts the scales back to how they are now."""
    before = {name: (held, held.clone()) for name, held in _tensors(modules)}

    def back() -> None:
        with torch.no_grad():
            for name, held in _tensors(modules):
                was, value = before.get(name, (None, None))
                if was is held:
                    held.copy_(value)
                else:  # made since: as a new run's
                    held.fill_(1.0 if name.endswith(KINDS[0]) else 0.0)

    return back


def _tensors(modules: list[torch.nn.Module]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, layer in fp8_layers(modules):
        for way in WAYS:
            for kind in KINDS:
                held = getattr(layer.fp8_meta.get(way), kind, None)
                if held is not None:
                    yield f"{name}.{way}.{kind}", held
