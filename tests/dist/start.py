"""Makes Megatron-Core ready for a CPU before a module imports it, and runs the module.

torchrun --nproc-per-node 2 -m tests.dist.start MODULE ARGUMENTS
"""

import runpy
import sys

import tests.support.imported  # noqa: F401

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
