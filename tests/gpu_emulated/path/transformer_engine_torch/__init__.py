"""Stands in for transformer_engine_torch 2.12: its functions, in plain PyTorch, with their checks.

FP8 is a real rounding to float8 with the recipe's scales; products are of the dequantised values in
fp32. What the project's path does not call is a name that raises.
"""

# ruff: noqa: F401

from transformer_engine_torch.attention import (
    fused_attn_bwd,
    fused_attn_fwd,
    get_fused_attn_backend,
)
from transformer_engine_torch.blocks import (
    fp8_block_scaling_compute_partial_amax,
    fp8_block_scaling_partial_cast,
)
from transformer_engine_torch.checks import CALLS
from transformer_engine_torch.fp8 import (
    bgrad_quantize,
    compute_amax,
    dequantize,
    fp8_transpose,
    fused_amax_and_scale_update_after_reduction,
    quantize,
)
from transformer_engine_torch.missing import MISSING
from transformer_engine_torch.names import *  # noqa: F403
from transformer_engine_torch.norms import rmsnorm_bwd, rmsnorm_fwd
from transformer_engine_torch.optimizer import (
    multi_tensor_adam,
    multi_tensor_compute_scale_and_scale_inv,
    multi_tensor_l2norm,
    multi_tensor_scale,
)
from transformer_engine_torch.products import generic_gemm
from transformer_engine_torch.ring import (
    thd_grad_correction,
    thd_out_correction,
    thd_read_half_tensor,
    thd_read_second_half_lse,
    thd_second_half_lse_correction,
)
from transformer_engine_torch.rotary import fused_rope_backward, fused_rope_forward


def get_cublasLt_version() -> int:
    return 130101


def get_cudnn_version() -> int:
    return 91500


def get_num_cublas_streams() -> int:
    return 4


def ubuf_built_with_mpi() -> bool:
    return False


def device_supports_multicast(device_id: int = -1) -> bool:
    return False


def get_stream_priority_range(device_id: int = -1) -> tuple[int, int]:
    return 0, -5


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(name)
    return _missing(name)


def _missing(name: str):
    def call(*args, **kwargs):
        raise NotImplementedError(f"the emulated device has no {name}")

    call.__name__ = name
    return call


# `from transformer_engine_torch import *` takes what is there.
globals().update({name: _missing(name) for name in MISSING if name not in globals()})
