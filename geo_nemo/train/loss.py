"""The loss of a micro-batch: a sum and a count, never a mean.

Gradients of sums add up over micro-batches and ranks, and are divided once by the weight of all
trained tokens of the global batch, which is their count where each weighs 1. A micro-batch that is
wholly masked adds nothing to either.
"""

from collections.abc import Callable

import torch

LossOutput = tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]


def masked_loss(
    loss_mask: torch.Tensor, group_ids: torch.Tensor, num_groups: int, z_loss: float = 0.0
) -> Callable[[torch.Tensor], LossOutput]:
    """A Megatron-Core loss function for one micro-batch.

    Args:
        loss_mask: the weight of each label, 0 where it is not trained, [b, s].
        group_ids: index of the group of each position, as its country, -1 on padding, [b, s].
        num_groups: number of groups.
        z_loss: coefficient of the z-loss, for a model that gives it (geo_nemo.model.z_loss).

    Returns:
        A function of the per-token losses in nats, [b, s], or with the squares of log Z, [2, b, s],
        that returns the weighted sum over trained tokens of what is trained, their count (int), and
        a report with the same keys in every micro-batch: `sums` (of the weighted nats alone),
        `weights` and `counts` by group, each [num_groups], in float64.
    """
    mask = loss_mask.flatten()
    groups = group_ids.flatten().clamp(min=0).long()

    def loss(per_token_loss: torch.Tensor) -> LossOutput:
        nats, squares = per_token_loss if z_loss else (per_token_loss, None)
        nats = _masked(nats, mask)
        zeros = torch.zeros(num_groups, dtype=torch.float64, device=nats.device)
        report = {
            "sums": zeros.index_add(0, groups, nats.detach().double()),
            "weights": zeros.index_add(0, groups, mask.double()),
            "counts": zeros.index_add(0, groups, (mask > 0).double()),
        }
        trained = nats.sum()
        if squares is not None:
            trained = trained + z_loss * _masked(squares, mask).sum()
        return trained, (mask > 0).sum().to(torch.int), report

    return loss


def _masked(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`values` in fp32 where the mask is not 0, weighted by it; elsewhere 0, also for a NaN."""
    values = values.float().flatten()
    return torch.where(mask > 0, values * mask, 0.0)
