"""A GPU with Transformer Engine for the tests of this folder; without one they are skipped.

They run in a process of their own: `python -m pytest tests/gpu`. Where the CPU runtime has been
installed into Megatron-Core, as the other tests do, a GPU cannot be used any more.
"""

import os
import sys

# cuBLAS would round fp32 inputs to TF32's 11 bits in Transformer Engine's layers. Read when CUDA
# starts.
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

import pytest
import torch


@pytest.fixture(scope="session")
def gpu():
    """The first GPU, with Megatron-Core's process groups of this one process open on it."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    try:
        import transformer_engine.pytorch  # noqa: F401
    except ImportError as error:
        pytest.skip(f"Transformer Engine does not import: {error}")
    if "geo_nemo.runtime.cpu" in sys.modules:
        pytest.skip("Megatron-Core is set up for the CPU here: python -m pytest tests/gpu")
    from geo_nemo.config import Parallel
    from geo_nemo.runtime.distributed import process_groups

    device = torch.device("cuda", 0)
    with process_groups(Parallel(), device, seed=0):
        yield device
