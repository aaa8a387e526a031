"""What a process of a test has imported when its module begins, ready for a CPU.

torchrun --nproc-per-node 2 -m tests.dist.start MODULE ARGUMENTS
"""

import runpy
import sys

import torch

from geo_nemo.runtime.device import prepare_megatron

# Before a module imports Megatron-Core itself.
prepare_megatron(torch.device("cpu"))
import geo_nemo.train.loop  # noqa: E402, F401

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
