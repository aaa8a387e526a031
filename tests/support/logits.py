"""Logits of a Megatron-Core model in this process, for one document."""

import numpy as np
import torch

from geo_nemo.data.batches import stack_sequences
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.train.micro_batch import to_device


def own_logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Double [n, padded vocabulary] of tokens int64 [n], which are one document."""
    n = len(tokens)
    nothing = np.zeros(n, np.int32)
    sequence = PackedSequence(
        tokens=tokens.cpu().numpy(),
        labels=nothing,
        position_ids=np.arange(n),
        loss_mask=np.ones(n, np.float32),
        group_ids=nothing,
        label_kinds=nothing.astype(np.uint8),
        cu_seqlens=np.array([0, n], np.int32),
        max_seqlen=n,
    )
    batch = to_device(stack_sequences([sequence], [0]), next(model.parameters()).device)
    with torch.no_grad():
        found = model(
            batch["tokens"],
            batch["position_ids"],
            None,
            packed_seq_params=batch["packed_seq_params"],
        )
    return found[0].double()
