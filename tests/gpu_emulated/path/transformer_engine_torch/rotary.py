"""Rotary positions of packed sequences, [tokens, heads, width], each document from its own zero."""

from itertools import pairwise

import torch

from transformer_engine_torch.checks import kernel, need, on_gpu
from transformer_engine_torch.names import NVTE_QKV_Format


def _positions(borders: list[int], tokens: int, cp_size: int, cp_rank: int) -> torch.Tensor:
    """Of each token of this rank, which has two of a document's 2 * cp_size parts."""
    place = torch.full((tokens,), -1)
    for start, end in pairwise(borders):
        start, end = start // cp_size, end // cp_size
        count = end - start
        at = torch.arange(count)
        if cp_size > 1:
            half = count // 2
            late = cp_size * count - (cp_rank + 1) * half + at - half
            at = torch.where(at < half, at + cp_rank * half, late)
        place[start:end] = at
    return place


def _rotate(t, freqs, start_positions, fmt, interleaved, cu_seqlens, cp_size, cp_rank, back):
    need(fmt == NVTE_QKV_Format.NVTE_THD, "the emulated device rotates packed sequences alone")
    need(not interleaved and start_positions is None, "rotation interleaved or with a start")
    need(t.dim() == 3 and cu_seqlens is not None and cu_seqlens.dim() == 1, "[t, h, d], [b + 1]")
    need(freqs.dim() == 4 and freqs.shape[1:3] == (1, 1), "expected freqs of [s, 1, 1, d]")
    need(freqs.dtype == torch.float32 and cu_seqlens.dtype == torch.int32, "freqs fp32, int32")
    on_gpu(t, freqs, cu_seqlens)
    place = _positions(cu_seqlens.tolist(), t.shape[0], cp_size, cp_rank)
    need(int(place.min()) >= 0, "tokens behind the last document would be left unwritten")
    need(int(place.max()) < freqs.shape[0], f"position {int(place.max())} reads behind freqs")
    angles = freqs[place.to(t.device), 0, 0][:, None]
    width = angles.shape[-1]
    need(t.shape[2] >= width, "freqs are wider than a head")
    values = t[..., :width].float()
    sine = angles.sin() * (-1 if back else 1)
    first, second = values.chunk(2, -1)
    if back:
        # The transpose of the rotation, whose angles need not be the same in both halves.
        first_sine, second_sine = (-sine).chunk(2, -1)
        turned = torch.cat([second * second_sine, -first * first_sine], -1)
    else:
        turned = torch.cat([-second, first], -1) * sine
    return torch.cat([(values * angles.cos() + turned).to(t.dtype), t[..., width:]], -1)


@kernel
def fused_rope_forward(*args):
    return _rotate(*args, back=False)


@kernel
def fused_rope_backward(*args):
    return _rotate(*args, back=True)
