"""Initial weights: their spread, their independence, and that only seed and name decide them."""

import math

import pytest
import torch

from geo_nemo.config import Model, Parallel, Precision

CPU = torch.device("cpu")
MODEL = Model(
    num_layers=8,
    hidden_size=128,
    num_attention_heads=4,
    num_query_groups=2,
    ffn_hidden_size=256,
    init_method_std=0.03,
)


def build(seed=3, model=MODEL):
    from geo_nemo.model.build import build_model, transformer_config

    config = transformer_config(model, Parallel(), Precision(dtype="fp32"), CPU)
    return build_model(model, config, 640, 64, CPU, seed)


@pytest.fixture(scope="module")
def weights(single_process):
    return {name: w.detach() for name, w in build().named_parameters()}


def test_matrices_have_the_std_of_the_config_and_those_into_the_residual_less(weights):
    """Mean and std of n normal draws lie within 5 std / sqrt(n) of the truth."""
    kinds = set()
    for name, weight in weights.items():
        if weight.ndim == 1:
            continue
        into_residual = "linear_proj" in name or "linear_fc2" in name
        std = 0.03 / math.sqrt(2 * 8) if into_residual else 0.03
        kinds.add((name.split(".")[-2], into_residual))
        n = weight.numel()
        assert weight.std() == pytest.approx(std, rel=5 / math.sqrt(2 * n)), name
        assert abs(weight.mean()) < 5 * std / math.sqrt(n), name
    assert kinds == {
        ("word_embeddings", False),
        ("linear_qkv", False),
        ("linear_proj", True),
        ("linear_fc1", False),
        ("linear_fc2", True),
        ("output_layer", False),
    }


def test_norms_are_ones(weights):
    norms = [name for name, weight in weights.items() if weight.ndim == 1]
    assert len(norms) == 2 * 8 + 1
    assert all(weights[name].eq(1).all() for name in norms)


def test_no_two_weights_are_alike(weights):
    """Layers, and SwiGLU's gate and up, are draws of their own."""
    halves = {}
    for name, weight in weights.items():
        if weight.ndim > 1:
            for index, half in enumerate(weight.chunk(2)):
                halves[name, index] = half.flatten()[:1000]
    names = list(halves)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pair = torch.stack([halves[first], halves[second]])
            assert abs(torch.corrcoef(pair)[0, 1]) < 0.2, (first, second)


def test_the_seed_decides_and_nothing_else(weights):
    torch.manual_seed(99)
    again = {name: w.detach() for name, w in build().named_parameters()}
    other = {name: w.detach() for name, w in build(seed=4).named_parameters()}
    for name, weight in weights.items():
        assert torch.equal(again[name], weight), name
        assert weight.ndim == 1 or not torch.equal(other[name], weight), name


def test_drawing_weights_leaves_the_global_random_state(single_process):
    from geo_nemo.model.initialize import initialize

    module = build()
    before = torch.get_rng_state()
    initialize(module, MODEL, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_tied_embeddings_are_one_weight(single_process):
    tied = MODEL.model_copy(update={"share_embeddings_and_output_weights": True})
    names = [name for name, _ in build(model=tied).named_parameters()]
    assert "embedding.word_embeddings.weight" in names
    assert "output_layer.weight" not in names
