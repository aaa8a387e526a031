"""Fewer passes over memory on a CPU, and the numbers that Megatron-Core's own functions give."""

import pytest
import torch
import torch.distributed as dist

from geo_nemo.runtime import cpu_speed
from tests.support.batches import ragged_batches
from tests.support.tiny import tiny_run

VOCAB_SIZE = 640


def test_gradients_are_scaled_to_the_same_bits():
    given = [torch.randn(1000), torch.randn(3, 7)]
    scaled = [tensor.clone() for tensor in given]
    cpu_speed.scale_in_place(0, None, [scaled, scaled], 0.1 / 3)
    for here, there in zip(scaled, given, strict=True):
        assert torch.equal(here, there * (0.1 / 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_largest_logits_are_the_same(dtype):
    logits = torch.randn(5, 2, 300).to(dtype)
    found, largest = cpu_speed._largest_logits(logits)
    assert found.dtype == torch.float32
    assert torch.equal(largest, logits.float().max(dim=-1)[0])
    logits[3, 1, 7] = float("nan")
    assert cpu_speed._largest_logits(logits)[1].isnan().sum() == 1


def test_a_group_of_one_exchanges_nothing_and_a_larger_one_does(monkeypatch):
    calls = []

    def collective(output, given, group=None, async_op=False):
        calls.append((group, async_op))

    call = cpu_speed._skipped_alone(collective)
    output, given = torch.zeros(4), torch.arange(4.0)
    monkeypatch.setattr(dist, "get_world_size", lambda group: 1)
    call(output, given, group="one")
    assert torch.equal(output, given) and not calls
    call(given, given, group="one")
    assert torch.equal(given, torch.arange(4.0))
    monkeypatch.setattr(dist, "get_world_size", lambda group: 2)
    call(output, given, group="two", async_op=True)
    assert calls == [("two", True)]


@pytest.mark.parametrize("rotated", [8, 6], ids=["whole heads", "a part of each"])
def test_heads_are_rotated_to_the_same_bits(single_process, rotated):
    from megatron.core.models.common.embeddings import rope_utils

    heads, angles = torch.randn(5, 2, 3, 8), torch.randn(5, 1, 1, rotated)
    ours = rope_utils._apply_rotary_pos_emb_bshd
    assert ours.rotates_whole_heads
    assert torch.equal(ours(heads, angles), ours.__wrapped__(heads, angles))


class Group:
    """As much of a process group as rotary positions ask for."""

    def __init__(self, rank, size):
        self.rank, self.size = lambda: rank, lambda: size


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_documents_of_a_row_are_rotated_to_the_same_bits(single_process, size):
    from megatron.core.models.common.embeddings import rope_utils

    borders = torch.tensor([0, 2, 3, 10, 14]) * 2 * size
    angles, ours = torch.randn(14 * size, 1, 1, 8), rope_utils._apply_rotary_pos_emb_thd
    for rank in range(size):
        heads, group = torch.randn(28, 3, 8), Group(rank, size)
        expected = ours.__wrapped__(heads, borders.int(), angles, cp_group=group)
        assert torch.equal(ours(heads, borders.int(), angles, cp_group=group), expected)


def test_the_norm_of_norms_is_megatron_core_s(single_process):
    from megatron.core import utils

    gradients = [torch.randn(n, 3) for n in (1, 7, 300)]
    (expected, _), (found, _) = (
        norm(2048, None, [gradients], False)
        for norm in (utils.local_multi_tensor_l2_norm, cpu_speed.l2_norm)
    )
    assert found.shape == (1,) and torch.equal(found, expected)


@pytest.mark.parametrize("tied", [False, True], ids=["two matrices", "tied embeddings"])
def test_gradients_added_while_multiplied_are_those_made_apart(single_process, tied):
    """Gradients of at most 1, summed over four micro-batches in fp32 in another order."""
    from geo_nemo.train.engine import Engine

    run = tiny_run("store", "out")
    model = run.model.model_copy(update={"share_embeddings_and_output_weights": tied})
    engine = Engine(run.model_copy(update={"model": model}), VOCAB_SIZE, 3, torch.device("cpu"))
    batches = ragged_batches(seed=3, vocab_size=VOCAB_SIZE)
    layers = [m for m in engine.module.modules() if hasattr(m, "gradient_accumulation_fusion")]
    assert len(layers) >= 8 and all(layer.gradient_accumulation_fusion for layer in layers)

    def gradients():
        engine.zero_gradients()
        engine.forward_backward(batches)
        return {name: w.main_grad.clone() for name, w in engine.module.named_parameters()}

    added = gradients()
    for layer in layers:
        layer.gradient_accumulation_fusion = False
    for name, apart in gradients().items():
        assert (added[name] - apart).abs().max() <= 1e-6, name
        assert apart.abs().max() > 1e-4, f"{name}: no gradient to compare"
