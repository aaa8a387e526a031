"""Kernels over many tensors at once: AdamW, norms, scales."""

import torch

from transformer_engine_torch.checks import kernel, need, on_gpu


@kernel
def multi_tensor_scale(chunk, noop, lists, scale):
    for source, target in zip(*lists, strict=True):
        on_gpu(source, target)
        target.copy_(source.float() * scale)


@kernel
def multi_tensor_l2norm(chunk, noop, lists, per_tensor=False):
    """The norm of all, and of each."""
    on_gpu(noop, *lists[0])
    none = torch.empty(0, device="cuda")
    if not lists[0]:
        return torch.zeros(1, device="cuda"), none
    norms = torch.stack([tensor.float().norm() for tensor in lists[0]])
    return norms.norm().reshape(1), norms if per_tensor else none


@kernel
def multi_tensor_adam(
    chunk, noop, lists, lr, beta1, beta2, eps, step, mode, bias_correction, decay, *more
):
    """Gradients, parameters, moments and, where the parameters are no fp32, masters that are.

    mode: 0 adds the decay to the gradient (Adam), 1 to the update (AdamW).
    """
    need(isinstance(step, int) and isinstance(lr, float), f"{type(step)} step, {type(lr)} lr")
    first, second = (1 - beta1**step, 1 - beta2**step) if bias_correction else (1, 1)
    for gradient, parameter, m, v, *masters in zip(*lists, strict=True):
        on_gpu(gradient, parameter, m, v, *masters)
        need(m.dtype == v.dtype == torch.float32, "moments are fp32 in the kernel")
        stepped = masters[0] if masters else parameter
        values, g = stepped.float(), gradient.float()
        if mode == 0:
            g = g + decay * values
        m.copy_(beta1 * m + (1 - beta1) * g)
        v.copy_(beta2 * v + (1 - beta2) * g * g)
        update = (m / first) / ((v / second).sqrt() + eps)
        if mode == 1:
            update = update + decay * values
        stepped.copy_(values - lr * update)
        if masters:
            parameter.copy_(stepped)


@kernel
def multi_tensor_compute_scale_and_scale_inv(chunk, noop, lists, max_fp8, pow2, epsilon):
    from transformer_engine_torch.fp8 import scale_of
    from transformer_engine_torch.names import LARGEST

    (dtype,) = (kind for kind, largest in LARGEST.items() if largest == max_fp8)
    for amax, scale, inverse in zip(*lists, strict=True):
        scale.copy_(scale_of(amax, dtype, pow2, epsilon))
        inverse.copy_(1 / scale)
