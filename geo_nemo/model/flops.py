"""Floating-point operations of a train step, and how much of the chip they are (MFU).

A multiply and an add are two operations; the backward pass is twice the forward pass; nothing is
counted for recomputation, norms or the optimizer (Chowdhery et al., arXiv 2204.02311, appendix B).
Attention is counted inside documents, at half of n x n for a document of n tokens: a packed
sequence of short documents has less of it than its length suggests.
"""

import numpy as np

from geo_nemo.config import Model
from geo_nemo.model.shape import layer_matrices

# Dense peak of tensor cores in 10^12 operations a second, from NVIDIA's data sheets (SXM parts;
# their tables give twice this, for sparse matrices).
PEAK_TFLOPS = {
    "H100": {"bf16": 989.4, "fp8": 1978.9},
    "H200": {"bf16": 989.4, "fp8": 1978.9},
    "B200": {"bf16": 2250.0, "fp8": 4500.0},
    "A100": {"bf16": 312.0},
}
# Memory in GiB that their drivers show, rounded down.
MEMORY_GIB = {"H100": 79, "H200": 140, "B200": 178, "A100": 79}


def matmul_parameters(model: Model, vocab_size: int) -> int:
    """Weights that every token is multiplied with: all but norms and the input embedding."""
    return model.num_layers * layer_matrices(model) + vocab_size * model.hidden_size


def train_flops(model: Model, vocab_size: int, positions: int, lengths: np.ndarray) -> float:
    """Operations of forward and backward over `positions` tokens in documents of `lengths`."""
    attention = (
        6.0 * model.num_layers * model.query_size * float((lengths.astype(float) ** 2).sum())
    )
    return 6.0 * matmul_parameters(model, vocab_size) * positions + attention


def peak_flops(chip: str, dtype: str) -> float | None:
    """Operations a second of a chip whose name holds a known one; None for another.

    A slice of a chip (MIG) has the chip's name in its own, and a part of its units.
    """
    if "MIG " in chip:
        return None
    for name, peaks in PEAK_TFLOPS.items():
        if name in chip and dtype in peaks:
            return peaks[dtype] * 1e12
    return None
