"""Causal attention inside documents on a CPU, or in fp32: torch's SDPA, once a document.

Legend: T tokens of the packed row, N query heads, G key-value groups, D head size.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.transformer.enums import AttnMaskType


class DocumentAttention(torch.nn.Module):
    """Core attention of a Megatron-Core layer for packed rows, without Transformer Engine.

    Looping over documents does the work that attention needs and no more: a block mask over the
    whole row costs ten times as much at 2,048 tokens of 128-token documents.
    """

    def __init__(
        self,
        config,
        layer_number: int,
        attn_mask_type: AttnMaskType,
        attention_type: str,
        softmax_scale: float | None = None,
        **unused,
    ):
        super().__init__()
        if attention_type != "self" or attn_mask_type != AttnMaskType.causal:
            raise ValueError("DocumentAttention is causal self-attention")
        self.scale = softmax_scale or 1 / math.sqrt(config.kv_channels)

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
        q_NTD, k_GTD, v_GTD = (x.transpose(0, 1) for x in (q_TND, k_TGD, v_TGD))
        borders = packed_seq_params.cu_seqlens_q.tolist()
        context = [
            F.scaled_dot_product_attention(
                q_NTD[None, :, start:end],
                k_GTD[None, :, start:end],
                v_GTD[None, :, start:end],
                is_causal=True,
                scale=self.scale,
                enable_gqa=q_NTD.shape[0] != k_GTD.shape[0],
            )[0]
            for start, end in pairwise(borders)
        ]
        return torch.cat(context, dim=1).transpose(0, 1).flatten(1)
