"""Causal attention inside documents on a CPU, or in fp32: torch's SDPA, once a document.

Legend: T tokens of the packed sequence, or of this rank's part of it, t of those a block, N query
heads, G key-value groups, D head size.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from megatron.core.transformer.enums import AttnMaskType

from geo_nemo.model.context import sequence_order


class DocumentAttention(torch.nn.Module):
    """Core attention of a Megatron-Core layer for packed sequences, without Transformer Engine.

    Looping over documents does the work that attention needs and no more: a block mask over the
    whole sequence costs ten times as much at 2,048 tokens of 128-token documents.

    Under context parallelism a rank holds two chunks of each document (geo_nemo.model.context).
    Keys and values of all ranks are gathered, and each chunk's queries see what stands before them.
    """

    def __init__(
        self,
        config,
        layer_number: int,
        attn_mask_type: AttnMaskType,
        attention_type: str,
        softmax_scale: float | None = None,
        pg_collection=None,
        **unused,
    ):
        super().__init__()
        if attention_type != "self" or attn_mask_type != AttnMaskType.causal:
            raise ValueError("DocumentAttention is causal self-attention")
        self.scale = softmax_scale or 1 / math.sqrt(config.kv_channels)
        self.context_size = config.context_parallel_size
        self.context_group = pg_collection.cp if self.context_size > 1 else None

    def forward(
        self,
        q_TND: torch.Tensor,
        k_TGD: torch.Tensor,
        v_TGD: torch.Tensor,
        attention_mask: None = None,
        *,
        attn_mask_type: AttnMaskType | None = None,
        attention_bias: None = None,
        packed_seq_params: PackedSeqParams,
    ) -> torch.Tensor:
        """Context of shape [T, N * D]; a token sees the tokens before it in its own document."""
        if packed_seq_params is None or packed_seq_params.qkv_format != "thd":
            raise ValueError("DocumentAttention needs packed_seq_params in thd format")
        borders = getattr(packed_seq_params, "borders", None)
        if borders is None:  # not of our own batches: the host waits for the device
            borders = packed_seq_params.cu_seqlens_q.tolist()
        if self.context_size > 1:
            k_TGD, v_TGD = self._of_all_ranks(k_TGD, v_TGD, borders)
        q_NTD, k_GTD, v_GTD = (x.transpose(0, 1) for x in (q_TND, k_TGD, v_TGD))
        context = [
            F.scaled_dot_product_attention(
                q_NtD[None],
                k_GtD[None],
                v_GtD[None],
                **_causal(q_NtD.shape[1], k_GtD.shape[1], q_TND.device),
                scale=self.scale,
                enable_gqa=q_NTD.shape[0] != k_GTD.shape[0],
            )[0]
            for q_NtD, k_GtD, v_GtD in self._blocks(q_NTD, k_GTD, v_GTD, borders)
        ]
        if len(context) == 1:
            return context[0].transpose(0, 1).flatten(1)
        return torch.cat(context, dim=1).transpose(0, 1).flatten(1)

    def _of_all_ranks(
        self, k_TGD: torch.Tensor, v_TGD: torch.Tensor, borders: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the whole sequence; their gradients are summed over the ranks."""
        both = torch.cat([k_TGD, v_TGD], dim=-1)
        gathered = gather_from_sequence_parallel_region(both, group=self.context_group)
        order = torch.from_numpy(sequence_order(np.array(borders), self.context_size))
        k, v = gathered.index_select(0, order.to(both.device)).chunk(2, dim=-1)
        return k, v

    def _blocks(
        self, q_NTD: torch.Tensor, k_GTD: torch.Tensor, v_GTD: torch.Tensor, borders: list[int]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Queries of this rank, and keys and values of the sequence up to the last of them."""
        if self.context_size == 1:
            if len(borders) == 2:
                yield q_NTD, k_GTD, v_GTD
                return
            # Split in one go: the gradient of a slice is as long as the sequence, for every
            # document.
            lengths = [end - start for start, end in pairwise(borders)]
            yield from zip(*(x.split(lengths, dim=1) for x in (q_NTD, k_GTD, v_GTD)), strict=True)
            return
        rank, size = self.context_group.rank(), self.context_size
        here = 0
        for start, end in pairwise(borders):
            chunk = (end - start) // (2 * size)
            for place in (rank, 2 * size - 1 - rank):
                keys = slice(start, start + (place + 1) * chunk)
                yield q_NTD[:, here : here + chunk], k_GTD[:, keys], v_GTD[:, keys]
                here += chunk


def _causal(q: int, k: int, device: torch.device) -> dict:
    """SDPA's arguments where the last of q queries stands at the last of k keys."""
    if q == k:
        return {"is_causal": True}
    return {"attn_mask": torch.ones(q, k, dtype=torch.bool, device=device).tril(k - q)}
