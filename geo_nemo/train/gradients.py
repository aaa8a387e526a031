"""Division, norm and clipping of the gradients, of which the host needs to know nothing.

Megatron-Core's own ways ask the device for a number: whether a token was trained, how long the
gradient is, whether it is too long. Here the numbers stay on the device, and what is done with them
is the same, by the same kernels in the same order.
"""

from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, finalize_model_grads
from megatron.core.optimizer import MegatronOptimizer, clip_grads

# As Megatron-Core has it: no division by a norm of 0.
_EPSILON = 1e-6


def finalize(
    chunks: list[DistributedDataParallel],
    weight: torch.Tensor,
    **options: object,
) -> None:
    """`finalize_model_grads`: gradients summed over ranks, and divided by the `weight` of all.

    weight: of the tokens that this rank trained, float64 [], on the last pipeline stage; then of
    all ranks. Where none was trained, gradients are 0 and stay it.
    """
    finalize_model_grads(chunks, None, **options)
    dist.broadcast(
        weight,
        src=parallel_state.get_pipeline_model_parallel_last_rank(),
        group=parallel_state.get_pipeline_model_parallel_group(),
    )
    dist.all_reduce(
        weight, group=parallel_state.get_data_parallel_group(with_context_parallel=True)
    )
    scale = 1.0 / torch.where(weight > 0, weight, 1).float()
    for chunk in chunks:
        chunk.scale_gradients(scale)


def squared_norm(optimizer: MegatronOptimizer, device: torch.device) -> torch.Tensor:
    """The square of the L2 norm of all gradients, each counted once; fp32 [].

    Every rank calls it, after `prepare_grads`.
    """
    parts = getattr(optimizer, "chained_optimizers", [optimizer])
    gradients = [each for part in parts for each in _of_norm(part)]
    norm = torch.zeros(1, dtype=torch.float, device=device)
    if gradients:
        overflow = torch.zeros(1, dtype=torch.int, device=device)
        norm, _ = clip_grads.multi_tensor_applier(
            clip_grads.l2_norm_impl, overflow, [gradients], False
        )
    squared = norm**2.0
    dist.all_reduce(squared, group=parts[0].get_grad_stats_parallel_group())
    return squared.view(())


def _of_norm(part: Any) -> list[torch.Tensor]:
    """This rank's gradients that count for the norm: Megatron-Core 0.19 has another name for it."""
    if hasattr(part, "get_main_grads_for_grad_norm"):
        return list(part.get_main_grads_for_grad_norm())
    return list(part.get_grads_for_grad_norm())


def clip(optimizer: MegatronOptimizer, squared: torch.Tensor, limit: float) -> None:
    """Scale gradients down to a norm of `limit`; shorter ones stay as they are, bit for bit.

    squared: see `squared_norm`.
    """
    coefficient = (limit / (squared.double().sqrt() + _EPSILON)).clamp(max=1.0).float()
    gradients = [weight.grad for weight in optimizer.get_parameters() if weight.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, coefficient)
