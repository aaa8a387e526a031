"""The z-loss: coefficient * log(Z)^2 a token, which keeps logits from drifting (PaLM, section 5).

Z is the sum of exp(logit) over the vocabulary, of which each tensor-parallel rank holds a part.
"""

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel


class GPTModelWithZLoss(GPTModel):
    """Gives -log p(label) and log(Z)^2 of every token, [2, b, s], where GPTModel gives the first.

    The train step weighs and masks them; the logged loss stays the first alone.
    """

    def compute_language_model_loss(
        self, labels: torch.Tensor, logits: torch.Tensor
    ) -> torch.Tensor:
        # Before the cross-entropy, which works in place: [s, b, vocabulary of this rank].
        log_z = _LogSumExp.apply(logits)
        nats = super().compute_language_model_loss(labels, logits)
        return torch.stack([nats, log_z.square().transpose(0, 1)])


class _LogSumExp(torch.autograd.Function):
    """log of the sum of exp over the vocabulary of all tensor-parallel ranks, in fp32.

    The gradient of a rank's logits is its part of the softmax.
    """

    @staticmethod
    def forward(ctx, logits: torch.Tensor) -> torch.Tensor:
        group = parallel_state.get_tensor_model_parallel_group()
        largest = logits.detach().float().amax(-1)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
        softmax = (logits.float() - largest.unsqueeze(-1)).exp_()
        total = softmax.sum(-1)
        dist.all_reduce(total, group=group)
        softmax /= total.unsqueeze(-1)
        ctx.save_for_backward(softmax)
        ctx.dtype = logits.dtype
        return total.log() + largest

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        (softmax,) = ctx.saved_tensors
        return (softmax * grad.unsqueeze(-1)).to(ctx.dtype)
