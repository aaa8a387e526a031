"""Operations of a train step, against a count by hand and against torch's own counter."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from geo_nemo.config import Model
from geo_nemo.model.flops import matmul_parameters, peak_flops, train_flops

SHAPE = Model(
    num_layers=3,
    hidden_size=8,
    num_attention_heads=4,
    num_query_groups=2,
    ffn_hidden_size=12,
)


def test_the_weights_that_multiply_every_token_are_counted_by_hand():
    # Query and output 8 x 8 each, key and value 8 x 4 each, gate, up and down 8 x 12 each.
    assert matmul_parameters(SHAPE, vocab_size=10) == 3 * (2 * 64 + 2 * 32 + 3 * 96) + 80


def test_two_documents_of_half_the_length_have_half_the_attention():
    whole = train_flops(SHAPE, 10, 16, np.array([16]))
    halves = train_flops(SHAPE, 10, 16, np.array([8, 8]))
    attention = 6 * 3 * 8 * 16**2
    assert whole - halves == attention / 2


def test_torch_counts_the_same_for_a_decoder_of_this_shape():
    """torch counts whole attention matrices; half of them is masked."""
    length, vocab_size, heads, size = 16, 10, 4, 2
    x = torch.randn(1, length, 8, requires_grad=True)
    weights = {
        name: torch.randn(8, n, requires_grad=True)
        for name, n in {"q": 8, "k": 4, "v": 4, "o": 8, "g": 12, "u": 12}.items()
    }
    down, out = torch.randn(12, 8, requires_grad=True), torch.randn(8, vocab_size)
    out.requires_grad_()
    with FlopCounterMode(display=False) as counter:
        h = x
        for _ in range(3):
            q = (h @ weights["q"]).view(length, heads, size).transpose(0, 1)
            k, v = (
                (h @ weights[n]).view(length, 2, size).transpose(0, 1).repeat_interleave(2, 0)
                for n in "kv"
            )
            attended = (q @ k.transpose(1, 2)).softmax(-1) @ v
            h = attended.transpose(0, 1).reshape(1, length, 8) @ weights["o"]
            h = (h @ weights["g"] * (h @ weights["u"])) @ down
        (h @ out).sum().backward()
    half_of_attention = 6 * 3 * 8 * length**2
    expected = train_flops(SHAPE, vocab_size, length, np.array([length])) + half_of_attention
    assert counter.get_total_flops() == expected


@pytest.mark.parametrize(
    ("chip", "dtype", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4e12),
        ("NVIDIA H200", "fp8", 1978.9e12),
        ("NVIDIA A100-SXM4-80GB", "fp8", None),
        ("Tesla T4", "bf16", None),
    ],
)
def test_the_peak_is_that_of_a_known_chip_or_none(chip, dtype, expected):
    assert peak_flops(chip, dtype) == expected
