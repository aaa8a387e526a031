"""Trains by Megatron-Bridge's pretrain in a process of its own, which prints its losses.

Bridge imports Transformer Engine wherever it stands, and there is none for a CPU. What it names at
import gets an empty stand-in, after Megatron-Core has found that there is no Transformer Engine;
nothing that runs here is made of it.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch


class Nothing(type):
    """A class that has nothing but classes like itself."""

    def __getattr__(cls, name: str) -> "Nothing":
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(name, (), {})


class StandIn(ModuleType):
    """A module of such classes."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.__path__ = []

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(name, (), {})


def main(*settings: str) -> None:
    import geo_nemo.train.parts  # noqa: F401 - loads what Megatron-Core makes of its absence
    from geo_nemo.runtime import cpu

    cpu.install()
    for name in ("transformer_engine", "transformer_engine.pytorch"):
        sys.modules[name] = StandIn(name)
    sys.modules["transformer_engine"].pytorch = sys.modules["transformer_engine.pytorch"]
    sys.modules["transformer_engine"].__version__ = "2.16.1"  # which Megatron-Core 0.19 asks for
    from geo_nemo.integrations import bridge_cpu
    from geo_nemo.integrations.bridge import forward_step, recipe
    from geo_nemo.runtime.distributed import world

    bridge_cpu.install()
    from megatron.bridge.training.pretrain import pretrain

    config = recipe(settings)
    if "--inexact" in sys.argv:
        config.model.calculate_per_token_loss = False
    if "--stop-after-3" in sys.argv:
        config.train.exit_interval = 3
    with world(torch.device("cpu")):
        pretrain(config, forward_step)


if __name__ == "__main__":
    main(*[word for word in sys.argv[1:] if not word.startswith("--")])
