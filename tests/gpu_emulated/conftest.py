"""The emulated device, and the stand-in of Transformer Engine's kernels on it."""

import sys

import pytest


@pytest.fixture(scope="session")
def kernels():
    """transformer_engine_torch, beside Transformer Engine's own Python."""
    if "emulated_gpu" not in sys.modules:
        pytest.skip("no emulated device in this process: make test-gpu-emulated")
    import transformer_engine.pytorch  # noqa: F401
    import transformer_engine_torch

    return transformer_engine_torch


@pytest.fixture
def draw():
    """Normal numbers of a shape on the device; the same ones in every run."""
    import torch

    generator = torch.Generator().manual_seed(5)

    def drawn(*shape, dtype=torch.float32):
        return torch.randn(*shape, generator=generator).to(dtype).cuda()

    return drawn
