"""What each kernel of the stand-in does: it is counted, keeps no graph, reads the GPU alone."""

import collections
import functools

import torch

CALLS = collections.Counter()


def kernel(function):
    """A function of transformer_engine_torch."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        CALLS[function.__name__] += 1
        with torch.no_grad():
            return function(*args, **kwargs)

    return call


def need(ok, why: str) -> None:
    """Fail as a kernel's own check does, or where the stand-in knows no more."""
    if not ok:
        raise RuntimeError(f"NVTE_CHECK: {why}")


def on_gpu(*tensors) -> None:
    """A kernel that is given the host's memory ends the process; here it is an error."""
    for tensor in tensors:
        if type(tensor) is torch.Tensor:
            need(tensor.is_cuda, f"a tensor of shape {tuple(tensor.shape)} is on {tensor.device}")
