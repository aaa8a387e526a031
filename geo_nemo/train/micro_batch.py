"""A micro-batch as tensors on the device: the part of a packed row that a rank works on."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from megatron.core.packed_seq_params import PackedSeqParams

from geo_nemo.data.batches import Batch
from geo_nemo.model.context import PADDING, ContextRank

# What a batch tells of each token, and what padding has in its place.
_OF_A_TOKEN = {"tokens": 0, "labels": 0, "loss_mask": 0, "position_ids": 0, "source_ids": -1}


def forward(model: torch.nn.Module, tensors: dict) -> torch.Tensor:
    """What a pipeline stage gives for a packed row: on the last, -log p(label), [1, b * s]."""
    return model(
        tensors["tokens"],
        tensors["position_ids"],
        None,
        labels=tensors["labels"],
        packed_seq_params=tensors["packed_seq_params"],
    )


def to_device(batch: Batch, device: torch.device, context: ContextRank | None = None) -> dict:
    """A batch of [b, s] arrays as tensors of one packed row, [1, b * s], on `device`.

    context: takes a rank's part of the row, [1, t], where several share it.
    """
    move = partial(torch.Tensor.to, device=device, non_blocking=True)
    arrays = {name: getattr(batch, name).reshape(-1) for name in _OF_A_TOKEN}
    cu_seqlens, max_seqlen = batch.cu_seqlens, batch.max_seqlen
    divided = context is not None and context.size > 1
    if divided:
        cu_seqlens, origin = context.divide(cu_seqlens)
        max_seqlen = int(np.diff(cu_seqlens).max())
        arrays = {
            name: np.where(origin == PADDING, _OF_A_TOKEN[name], array[origin]).astype(array.dtype)
            for name, array in arrays.items()
        }
    tensors = {name: move(torch.from_numpy(array)).view(1, -1) for name, array in arrays.items()}
    borders = move(torch.from_numpy(cu_seqlens))
    tensors["packed_seq_params"] = PackedSeqParams(
        qkv_format="thd",
        cu_seqlens_q=borders,
        cu_seqlens_kv=borders,
        # Transformer Engine asks for these where ranks share a row; the padding is in documents.
        cu_seqlens_q_padded=borders if divided else None,
        cu_seqlens_kv_padded=borders if divided else None,
        max_seqlen_q=max_seqlen,
        max_seqlen_kv=max_seqlen,
    )
    return tensors


def in_groups(batches: Sequence[Batch], size: int) -> list[Batch]:
    """`batches` and, up to a multiple of `size`, the last one wholly masked.

    An interleaved pipeline takes groups of as many micro-batches as it has ranks.
    """
    last = batches[-1]
    filler = replace(last, loss_mask=np.zeros_like(last.loss_mask))
    return [*batches, *[filler] * (-len(batches) % size)]
