"""Attention of packed sequences in cuDNN's place: q [t, h, d], k and v [t, groups, d]."""

import math
from itertools import pairwise

import torch

from transformer_engine_torch.checks import kernel, need, on_gpu
from transformer_engine_torch.names import (
    TORCH,
    DType,
    NVTE_Bias_Type,
    NVTE_Fused_Attn_Backend,
    NVTE_Mask_Type,
    NVTE_QKV_Layout,
)

_CAUSAL = (
    NVTE_Mask_Type.NVTE_CAUSAL_MASK,
    NVTE_Mask_Type.NVTE_PADDING_CAUSAL_MASK,
    NVTE_Mask_Type.NVTE_PADDING_CAUSAL_BOTTOM_RIGHT_MASK,
)
_PACKED_MASKS = (NVTE_Mask_Type.NVTE_PADDING_MASK, *_CAUSAL[1:])
_PACKED = (
    NVTE_QKV_Layout.NVTE_THD_THD_THD,
    NVTE_QKV_Layout.NVTE_T3HD,
    NVTE_QKV_Layout.NVTE_TH3D,
    NVTE_QKV_Layout.NVTE_THD_T2HD,
    NVTE_QKV_Layout.NVTE_THD_TH2D,
)


@kernel
def get_fused_attn_backend(
    is_training, q_type, kv_type, layout, bias, mask, softmax, dropout, heads, groups, sq, skv,
    dqk, dv, left, right, max_logit, graph, deterministic,
):  # fmt: skip
    """cuDNN's kernel for 16-bit types, where one of its rules is not broken."""
    need(isinstance(sq, int) and isinstance(skv, int), "max_seqlen must be int")
    able = q_type in (DType.kBFloat16, DType.kFloat16) and heads % groups == 0
    able = able and dqk % 8 == 0 and dv % 8 == 0
    if layout in _PACKED:
        able = able and mask in _PACKED_MASKS and bias == NVTE_Bias_Type.NVTE_NO_BIAS
    backend = NVTE_Fused_Attn_Backend
    return backend.NVTE_F16_arbitrary_seqlen if able else backend.NVTE_No_Backend


def _documents(q, k, cu, cu_kv, padded, padded_kv):
    """Slices of each document's tokens in q, and in k and v."""
    lengths = [end - start for start, end in pairwise(cu.tolist())]
    lengths_kv = [end - start for start, end in pairwise(cu_kv.tolist())]
    starts = (cu if padded is None else padded).tolist()
    starts_kv = (cu_kv if padded_kv is None else padded_kv).tolist()
    for n, m, s, t in zip(lengths, lengths_kv, starts[:-1], starts_kv[:-1], strict=True):
        need(s + n <= q.shape[0] and t + m <= k.shape[0], "attention reads behind the sequence")
        yield slice(s, s + n), slice(t, t + m)


def _scores(q, k, scale: float, causal: bool) -> torch.Tensor:
    """[heads, queries, keys]."""
    scores = torch.einsum("qhd,khd->hqk", q, k) * scale
    if causal:
        later = torch.ones(scores.shape[1:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    return scores


@kernel
def fused_attn_fwd(
    max_q, max_kv, is_training, scale, dropout, set_zero, layout, bias_type, mask, softmax_type,
    window, bottom_right, cu, cu_kv, q, k, v, fake_dtype, padded, padded_kv, pages_k, pages_v,
    s_quantizer, o_quantizer, bias, softmax_offset, rng, rng_elements, max_logit, graph,
):  # fmt: skip
    """Returns the output, and for training log-sum-exp [t, h, 1] and the random state."""
    need(isinstance(max_q, int) and isinstance(max_kv, int), "max_seqlen must be size_t")
    on_gpu(q, k, v, cu, cu_kv, padded, padded_kv)
    for borders in (cu, cu_kv, padded, padded_kv):
        need(borders is None or borders.dtype == torch.int32, "cu_seqlens must be int32")
    need(q.dtype in (torch.bfloat16, torch.float16), f"no fused attention of {q.dtype}")
    need(dropout == 0.0 and tuple(window) in ((-1, -1), (-1, 0)), f"dropout, window {window}")
    longest = int(cu.diff().max())
    need(longest <= max_q, f"the longest document, {longest}, is longer than max_seqlen {max_q}")
    output = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.zeros(q.shape[0], q.shape[1], 1, device=q.device)
    groups = q.shape[1] // k.shape[1]
    for s, t in _documents(q, k, cu, cu_kv, padded, padded_kv):
        keys, values = (x[t].float().repeat_interleave(groups, 1) for x in (k, v))
        scores = _scores(q[s].float(), keys, scale, mask in _CAUSAL)
        lse[s] = torch.logsumexp(scores, -1).t()[..., None]
        output[s] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), values).to(q.dtype)
    if not is_training:
        return [output]
    return [output, lse, torch.zeros(2, dtype=torch.int64, device=q.device)]


@kernel
def fused_attn_bwd(
    max_q, max_kv, scale, dropout, set_zero, layout, bias_type, mask, softmax_type, window,
    bottom_right, deterministic, cu, cu_kv, q, k, v, o, do, fake_dtype, dqkv_type, aux, padded,
    padded_kv, s_quantizer, dp_quantizer, dqkv_quantizer, graph,
):  # fmt: skip
    on_gpu(q, k, v, o, do, cu, cu_kv)
    dq, dk, dv = (torch.zeros(x.shape, dtype=TORCH[dqkv_type], device=x.device) for x in (q, k, v))
    lse = aux[0]
    groups = q.shape[1] // k.shape[1]

    def summed(gradient):
        """Over the query heads that share a key's."""
        return gradient.view(len(gradient), -1, groups, gradient.shape[-1]).sum(2)

    for s, t in _documents(q, k, cu, cu_kv, padded, padded_kv):
        queries, outputs, gradients = (x[s].float() for x in (q, o, do))
        keys, values = (x[t].float().repeat_interleave(groups, 1) for x in (k, v))
        scores = _scores(queries, keys, scale, mask in _CAUSAL)
        weights = (scores - lse[s].permute(1, 0, 2)).exp()
        of_weights = torch.einsum("qhd,khd->hqk", gradients, values)
        along = (gradients * outputs).sum(-1).t()[..., None]
        of_scores = weights * (of_weights - along) * scale
        dq[s] = torch.einsum("hqk,khd->qhd", of_scores, keys).to(dq.dtype)
        dk[t] = summed(torch.einsum("hqk,qhd->khd", of_scores, queries)).to(dk.dtype)
        dv[t] = summed(torch.einsum("hqk,qhd->khd", weights, gradients)).to(dv.dtype)
    # Without a bias and an offset of the softmax, their gradients are None.
    return [dq, dk, dv, None, None]
