"""Lets Megatron-Bridge's training loop run on a CPU, beside geo_nemo.runtime.cpu.

Join the processes before (geo_nemo.runtime.distributed.world): Bridge would do so for NCCL.
"""

import functools
import importlib
import sys

import torch

from geo_nemo.runtime import cpu


def install() -> None:
    """Rebind `torch` in Megatron-Core's loaded modules and in Bridge's, and what asks for CUDA."""
    initialize = importlib.import_module("megatron.bridge.training.initialize")
    setup = importlib.import_module("megatron.bridge.training.setup")
    importlib.import_module("megatron.bridge.training.pretrain")
    cpu.install()
    for name, module in list(sys.modules.items()):
        # 0.6 builds its models by functions of Megatron's own training.
        named = name.startswith(("megatron.bridge", "megatron.training"))
        if named and getattr(module, "torch", None) is torch:
            module.torch = cpu.PROXY
    setup.initialize_megatron = functools.partial(
        initialize.initialize_megatron, allow_no_cuda=True
    )
    # The wheel of megatron-core has them compiled, and no Makefile to compile them again.
    initialize.compile_helpers = lambda: None
