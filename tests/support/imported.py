"""What a `tests.support.processes.Process` has imported when it begins."""

import torch

from geo_nemo.runtime.device import prepare_megatron

# Before a module imports Megatron-Core itself.
prepare_megatron(torch.device("cpu"))
import geo_nemo.cli.train  # noqa: E402, F401
import geo_nemo.train.loop  # noqa: E402, F401
