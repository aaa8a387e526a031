"""Lets NeMo 2's Megatron strategy run on a CPU, beside geo_nemo.runtime.cpu.

NeMo puts numbers for the log on the GPU by `torch.tensor(x, pin_memory=True).to("cuda")` and asks
`torch.cuda` for streams and for the device. As there, torch itself stays as it is: the modules of
`nemo.lightning` that do so see a proxy of it.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from megatron.core import tensor_parallel
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

from geo_nemo.runtime import cpu


class _Number(torch.Tensor):
    """A tensor of which `.to("cuda")` is a plain tensor on the CPU."""

    def to(self, *args, **kwargs) -> torch.Tensor:
        plain = self.as_subclass(torch.Tensor)
        if args and str(args[0]).startswith("cuda"):
            return plain
        return plain.to(*args, **kwargs)


class _TorchForNeMo(cpu.TorchProxy):
    """Megatron-Core's proxy, with numbers that may be sent to a GPU."""

    def __init__(self) -> None:
        super().__init__()
        make = self.tensor

        @functools.wraps(make)
        def tensor(*args: Any, **kwargs: Any) -> torch.Tensor:
            return make(*args, **kwargs).as_subclass(_Number)

        self.tensor = tensor


_PROXY = _TorchForNeMo()


def install() -> None:
    """Rebind `torch` in Megatron-Core's loaded modules and in NeMo's."""
    cpu.install()
    for name, module in list(sys.modules.items()):
        if name.startswith("nemo.lightning") and getattr(module, "torch", None) is torch:
            module.torch = _PROXY
    # After a load it moves what lies on another GPU to this one, and asserts that there is one.
    sys.modules["nemo.lightning.io.pl"]._fix_tensors_device = lambda checkpoint: checkpoint
    # In fp32 the optimizer's parameters are the model's own, which autograd lets no load write to.
    load = DistributedOptimizer._set_main_param_and_optimizer_states
    DistributedOptimizer._set_main_param_and_optimizer_states = torch.no_grad()(load)
    # The rank that prints gathers timers from all, and no other rank joins. There are no timers to
    # send, but gloo counts the call, and the next one on all ranks waits for ever.
    printer = sys.modules["nemo.lightning.pytorch.callbacks.progress_printer"].ProgressPrinter
    printer.log_megatron_timers = lambda self, timers: None
    # The random states of tensor-parallel ranks are given out where there is a GPU.
    beginning = sys.modules["nemo.lightning.megatron_init"]
    if not hasattr(beginning._set_random_seed, "seeds_ranks"):
        beginning._set_random_seed = _seeding_ranks(beginning._set_random_seed)


def _seeding_ranks(set_random_seed: Callable[[int], None]) -> Callable[[int], None]:
    @functools.wraps(set_random_seed)
    def seed_ranks(seed: int) -> None:
        set_random_seed(seed)
        tensor_parallel.model_parallel_cuda_manual_seed(seed)

    seed_ranks.seeds_ranks = True
    return seed_ranks
