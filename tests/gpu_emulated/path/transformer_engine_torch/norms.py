"""RMSNorm, in fp32 inside."""

import torch

from transformer_engine_torch.checks import kernel, need, on_gpu
from transformer_engine_torch.fp8 import quantize
from transformer_engine_torch.names import TORCH


def _gamma(weight, zero_centered: bool) -> torch.Tensor:
    return weight.float() + (1 if zero_centered else 0)


@kernel
def rmsnorm_fwd(input, weight, eps, ln_out, quantizer, otype, sm_margin, zero_centered_gamma):
    """Returns the output, no mean, and 1/rms of each token, fp32."""
    on_gpu(input, weight)
    need(input.dim() == 2, "RMSNorm takes [tokens, hidden]")
    need(input.dtype == weight.dtype, f"RMSNorm of {input.dtype} with a weight of {weight.dtype}")
    values = input.float()
    factor = torch.rsqrt(values.square().mean(-1) + eps)
    output = (values * factor[:, None] * _gamma(weight, zero_centered_gamma)).to(TORCH[otype])
    if quantizer is not None:
        output = quantize(output, quantizer, ln_out)
    elif ln_out is not None:
        output = ln_out.copy_(output)
    return [output, None, factor]


@kernel
def rmsnorm_bwd(dz, x, rsigma, gamma, sm_margin, zero_centered_gamma):
    on_gpu(dz, x, rsigma, gamma)
    need(dz.dtype == x.dtype, f"RMSNorm's backward of {dz.dtype} and {x.dtype}")
    normal = x.float() * rsigma[:, None]
    scaled = dz.float() * _gamma(gamma, zero_centered_gamma)
    along = (scaled * normal).mean(-1, keepdim=True)
    dx = rsigma[:, None] * (scaled - normal * along)
    return [dx.to(x.dtype), (dz.float() * normal).sum(0).to(gamma.dtype)]
