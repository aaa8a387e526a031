"""What a `tests.support.processes.Process` has imported when it begins."""

import torch

from geo_nemo.runtime.device import prepare_megatron

# Before a module imports Megatron-Core itself.
prepare_megatron(torch.device("cpu"))
# As OMP_NUM_THREADS=1 of a process that no other begins; more threads would not outlive the fork.
torch.set_num_threads(1)
import geo_nemo.cli.train  # noqa: E402, F401
import geo_nemo.train.loop  # noqa: E402, F401
