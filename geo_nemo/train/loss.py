"""The loss of a micro-batch: a sum and a count, never a mean.

Gradients of sums add up over micro-batches and ranks; Megatron-Core divides them once by the global
count of unmasked tokens (`calculate_per_token_loss`). A micro-batch that is wholly masked adds
nothing to either.
"""

from collections.abc import Callable

import torch

LossOutput = tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]


def masked_loss(
    loss_mask: torch.Tensor, source_ids: torch.Tensor, num_sources: int
) -> Callable[[torch.Tensor], LossOutput]:
    """A Megatron-Core loss function for one micro-batch.

    Args:
        loss_mask: 1 where a label is trained, [b, s].
        source_ids: index of the country of each position, -1 on padding, [b, s].
        num_sources: number of countries.

    Returns:
        A function of the per-token losses in nats, [b, s], that returns the sum over trained
        tokens, their count (int), and a report with the same keys in every micro-batch:
        `sums` and `counts` by source, each [num_sources], in float64.
    """
    mask = loss_mask.flatten()
    sources = source_ids.flatten().clamp(min=0)

    def loss(per_token_loss: torch.Tensor) -> LossOutput:
        nats = per_token_loss.float().flatten()
        nats = torch.where(mask > 0, nats * mask, 0.0)
        zeros = torch.zeros(num_sources, dtype=torch.float64, device=nats.device)
        report = {
            "sums": zeros.index_add(0, sources, nats.detach().double()),
            "counts": zeros.index_add(0, sources, mask.double()),
        }
        return nats.sum(), mask.sum().to(torch.int), report

    return loss
