"""Lets NeMo 2's Megatron strategy run on a CPU, beside geo_nemo.runtime.cpu.

NeMo puts numbers for the log on the GPU by `torch.tensor(x, pin_memory=True).to("cuda")` and asks
`torch.cuda` for streams and for the device. As there, torch itself stays as it is: the modules of
`nemo.lightning` that do so see a proxy of it.
"""

import functools
import sys
from typing import Any

import torch
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
