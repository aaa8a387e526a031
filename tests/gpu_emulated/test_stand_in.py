"""The emulated device, and the stand-in's kernels but those of FP8, against formulas.

Where these pass and a test of tests/gpu fails, it is the project that fails.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

BORDERS = [0, 5, 6, 17, 32]
# A rounding to bf16 of a sum that is exact to fp32.
BF16 = 2**-8
FP32 = 1e-5


def close(measured, expected, tolerance) -> bool:
    """Of the largest of what is expected."""
    error = (measured.detach().cpu().double() - expected.double()).abs().max()
    return float(error) <= tolerance * float(expected.abs().max())


def borders():
    return torch.tensor(BORDERS, dtype=torch.int32, device="cuda")


def test_fresh_memory_of_the_device_is_no_number(kernels):
    assert torch.empty(100, device="cuda").isnan().all()
    assert torch.empty(100, device="cuda", dtype=torch.bfloat16).isnan().all()


def test_a_tensor_of_the_device_is_not_computed_with_one_of_the_host(kernels):
    with pytest.raises(RuntimeError, match="two devices"):
        torch.ones(3, device="cuda") + torch.ones(3)
    with pytest.raises(RuntimeError, match="is on cpu"):
        kernels.rmsnorm_fwd(torch.ones(2, 8), torch.ones(8), 1e-5, None, None,
                            kernels.DType.kFloat32, 0, False)  # fmt: skip


def test_views_share_memory_and_gradients_pass_through_them(kernels):
    values = torch.zeros(4, 6, device="cuda", requires_grad=True)
    (values.view(6, 4)[2:].t() * 3).sum().backward()
    assert values.grad.flatten().tolist() == [0.0] * 8 + [3.0] * 16
    with torch.no_grad():
        values[1].add_(2)
    assert values.cpu()[1].tolist() == [2.0] * 6


def test_memory_is_counted(kernels):
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    held = torch.zeros(1000, device="cuda") + 1  # one of the device's and one of a CPU kernel's
    assert torch.cuda.memory_allocated() - before == 4000
    assert torch.cuda.max_memory_allocated() - before == 8000
    del held
    assert torch.cuda.memory_allocated() == before


def test_a_kernel_that_the_stand_in_has_not_says_so(kernels):
    with pytest.raises(NotImplementedError, match="no layernorm_fwd"):
        kernels.layernorm_fwd()


@pytest.mark.parametrize("zero_centered", [False, True])
def test_rmsnorm_and_its_gradients(kernels, draw, zero_centered):
    x, weight, upstream = draw(6, 32), draw(32), draw(6, 32)
    output, _, factor = kernels.rmsnorm_fwd(
        x, weight, 1e-5, None, None, kernels.DType.kFloat32, 0, zero_centered
    )
    dx, dweight = kernels.rmsnorm_bwd(upstream, x, factor, weight, 0, zero_centered)
    x64, weight64 = (t.cpu().double().requires_grad_() for t in (x, weight))
    gain = weight64 + 1 if zero_centered else weight64
    expected = torch.nn.functional.rms_norm(x64, (32,), gain, eps=1e-5)
    expected.backward(upstream.cpu().double())
    assert close(output, expected.detach(), FP32)
    assert close(dx, x64.grad, FP32)
    assert close(dweight, weight64.grad, FP32)


def rotated(x, angles):
    """Pairs of a head's halves as complex numbers, turned by their angles."""
    half = x.shape[-1] // 2
    pairs = torch.complex(x[..., :half], x[..., half:])
    turned = pairs * torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.cat([turned.real, turned.imag], -1)


def test_rotary_positions_begin_at_each_document_and_turn_back(kernels, draw):
    x, upstream = draw(32, 3, 8), draw(32, 3, 8)
    rates = 100.0 ** -(torch.arange(4) / 4)
    table = torch.outer(torch.arange(16.0), rates)
    freqs = torch.cat([table, table], -1)[:, None, None].cuda()
    rest = (None, kernels.NVTE_QKV_Format.NVTE_THD, False, borders(), 1, 0)
    output = kernels.fused_rope_forward(x, freqs, *rest)
    dx = kernels.fused_rope_backward(upstream, freqs, *rest)
    positions = torch.cat([torch.arange(end - start) for start, end in pairwise(BORDERS)])
    x64 = x.cpu().double().requires_grad_()
    expected = rotated(x64, table[positions].double())
    expected.backward(upstream.cpu().double())
    assert close(output, expected.detach(), FP32)
    assert close(dx, x64.grad, FP32)


def attended(q, k, v):
    """Causal attention of one document, [t, heads, width], in the precision of q."""
    shared = q.shape[1] // k.shape[1]
    output = torch.zeros_like(q)
    for head in range(q.shape[1]):
        scores = q[:, head] @ k[:, head // shared].T / math.sqrt(q.shape[-1])
        scores = scores + torch.full(scores.shape, -math.inf, dtype=q.dtype).triu(1)
        output[:, head] = scores.softmax(-1) @ v[:, head // shared]
    return output


def test_attention_of_packed_documents_and_its_gradients(kernels, draw):
    q, k, v, upstream = (draw(32, heads, 16, dtype=torch.bfloat16) for heads in (4, 2, 2, 4))
    layout = kernels.NVTE_QKV_Layout.NVTE_THD_THD_THD
    mask = kernels.NVTE_Mask_Type.NVTE_PADDING_CAUSAL_MASK
    kind = kernels.DType.kBFloat16
    chosen = (0.25, 0.0, False, layout, kernels.NVTE_Bias_Type.NVTE_NO_BIAS, mask,
              kernels.NVTE_Softmax_Type.NVTE_VANILLA_SOFTMAX, (-1, 0), False)  # fmt: skip
    cu = borders()
    output, *aux = kernels.fused_attn_fwd(
        16, 16, True, *chosen, cu, cu, q, k, v, torch.bfloat16, *[None] * 8, None, 0, False, False
    )
    gradients = kernels.fused_attn_bwd(
        16, 16, *chosen, True, cu, cu, q, k, v, output, upstream, torch.bfloat16, kind, aux,
        *[None] * 5, False,
    )  # fmt: skip
    exact = [t.cpu().double().requires_grad_() for t in (q, k, v)]
    parts = [attended(*(t[s:e] for t in exact)) for s, e in pairwise(BORDERS)]
    expected = torch.cat(parts)
    expected.backward(upstream.cpu().double())
    assert close(output, expected.detach(), BF16)
    # The backward pass reads the rounded output.
    for measured, tensor in zip(gradients[:3], exact, strict=True):
        assert close(measured, tensor.grad, 2 * BF16)


@pytest.mark.parametrize("broken", ["sequence", "longest"])
def test_attention_does_not_read_behind_what_it_was_told(kernels, draw, broken):
    q, k, v = (draw(30 if broken == "sequence" else 32, 2, 16, dtype=torch.bfloat16) for _ in "qkv")
    longest = 16 if broken == "sequence" else 14
    mask = kernels.NVTE_Mask_Type.NVTE_PADDING_CAUSAL_MASK
    with pytest.raises(RuntimeError, match="behind" if broken == "sequence" else "longest"):
        kernels.fused_attn_fwd(
            longest, longest, True, 0.25, 0.0, False, None, None, mask, None, (-1, 0), False,
            borders(), borders(), q, k, v, torch.bfloat16, *[None] * 8, None, 0, False, False,
        )  # fmt: skip


@pytest.mark.parametrize("masters", [False, True])
def test_adam_is_that_of_torch(kernels, draw, masters):
    start, gradients = draw(40), [draw(40) for _ in range(3)]
    theirs = torch.nn.Parameter(start.cpu().double())
    optimizer = torch.optim.AdamW([theirs], 1e-2, (0.9, 0.95), 1e-8, 0.1)
    ours = start.clone()
    m, v = torch.zeros(40, device="cuda"), torch.zeros(40, device="cuda")
    model = start.bfloat16()
    for step, gradient in enumerate(gradients, start=1):
        lists = [[gradient], [model if masters else ours], [m], [v]] + [[ours]] * masters
        kernels.multi_tensor_adam(
            2048, torch.zeros(1, device="cuda"), lists, 1e-2, 0.9, 0.95, 1e-8, step, 1, True, 0.1
        )
        theirs.grad = gradient.cpu().double()
        optimizer.step()
    assert close(ours, theirs.detach(), FP32)
    if masters:
        assert torch.equal(model.cpu(), ours.bfloat16().cpu())


def test_norms_and_scales_of_many_tensors(kernels, draw):
    tensors = [draw(7), draw(3, 4)]
    flag = torch.zeros(1, device="cuda")
    norm, each = kernels.multi_tensor_l2norm(2048, flag, [tensors], True)
    arrays = [t.cpu().numpy().astype(np.float64) for t in tensors]
    expected = [np.sqrt((array**2).sum()) for array in arrays]
    assert float(norm) == pytest.approx(math.hypot(*expected), rel=FP32)
    assert each.tolist() == pytest.approx(expected, rel=FP32)
    scaled = [torch.empty_like(t) for t in tensors]
    kernels.multi_tensor_scale(2048, flag, [tensors, scaled], 0.5)
    assert all(torch.equal(a * 0.5, b) for a, b in zip(tensors, scaled, strict=True))
