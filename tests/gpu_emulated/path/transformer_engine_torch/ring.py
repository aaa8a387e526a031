"""Kernels of context parallelism over packed sequences: halves of each document, put together.

A rank holds two parts of every document, [t, ...], the earlier first. cu_seqlens are the borders on
this rank, padding included; log-sum-exp is packed, [heads, t].
"""

from itertools import pairwise

import torch

from transformer_engine_torch.checks import kernel, need, on_gpu

_WAYS = {"add": torch.add, "copy": lambda old, new: new, "none": lambda old, new: old}


def _half(cu_seqlens: torch.Tensor, which: int) -> torch.Tensor:
    """Positions of the first (0) or second (1) half of each document."""
    need(cu_seqlens.dtype == torch.int32 and cu_seqlens.dim() == 1, "cu_seqlens must be int32")
    parts = []
    for start, end in pairwise(cu_seqlens.tolist()):
        need((end - start) % 2 == 0, "a document's tokens on a rank must be an even number")
        middle = (start + end) // 2
        parts.append(torch.arange(middle, end) if which else torch.arange(start, middle))
    return torch.cat(parts).to(cu_seqlens.device)


@kernel
def thd_read_half_tensor(tensor, cu_seqlens, half_idx):
    """[t, h, d] or [2, t, h, d]: the halves of the documents, t / 2 of them."""
    on_gpu(tensor, cu_seqlens)
    need(tensor.dim() in (3, 4), "expected 3 or 4 dimensions")
    return tensor.index_select(tensor.dim() - 3, _half(cu_seqlens, half_idx))


def _packed(lse, packed) -> None:
    need(packed and lse.dim() == 2, "the emulated device has packed log-sum-exp alone, [heads, t]")
    need(lse.dtype == torch.float32, "log-sum-exp must be fp32")


@kernel
def thd_second_half_lse_correction(lse, lse_per_step, cu_seqlens, lse_packed):
    """log(exp(lse) + exp(lse_per_step)) in the second halves, in place."""
    on_gpu(lse, lse_per_step, cu_seqlens)
    _packed(lse, lse_packed)
    at = _half(cu_seqlens, 1)
    lse[:, at] = torch.logaddexp(lse[:, at], lse_per_step[:, : len(at)])


@kernel
def thd_read_second_half_lse(lse, cu_seqlens, lse_packed, second_half_lse_seqlen):
    """[heads, second_half_lse_seqlen]."""
    on_gpu(lse, cu_seqlens)
    _packed(lse, lse_packed)
    at = _half(cu_seqlens, 1)
    need(second_half_lse_seqlen >= len(at), "second_half_lse_seqlen is too short")
    half = torch.zeros(len(lse), second_half_lse_seqlen, device=lse.device)
    half[:, : len(at)] = lse[:, at]
    return half


@kernel
def thd_out_correction(
    out, out_per_step, lse, lse_per_step, cu_seqlens, only_second_half, lse_packed
):
    """A step's output, weighed by its part of the softmax's sum, added in place; [t, h, d]."""
    on_gpu(out, out_per_step, lse, lse_per_step, cu_seqlens)
    _packed(lse, lse_packed)
    count = int(cu_seqlens[-1])
    at = _half(cu_seqlens, 1) if only_second_half else torch.arange(count, device=out.device)
    weights = (lse_per_step[:, : len(at)] - lse[:, at]).exp().nan_to_num(0.0).t()[..., None]
    out[at] = (out[at].float() + out_per_step[: len(at)].float() * weights).to(out.dtype)


@kernel
def thd_grad_correction(grad, grad_per_step, cu_seqlens, first_half, second_half):
    """A step's gradients put into those so far, in place: add, copy or none, for each half.

    grad_per_step: [t, ...], or half of that where the other half is `none`.
    """
    on_gpu(grad, grad_per_step, cu_seqlens)
    whole = "none" not in (first_half, second_half)
    for which, way in enumerate((first_half, second_half)):
        at = _half(cu_seqlens, which)
        if way != "none":
            new = grad_per_step[at] if whole else grad_per_step[: len(at)]
            grad[at] = _WAYS[way](grad[at], new)
