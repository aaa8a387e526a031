"""Matrix products, which take operands by columns as BLAS does: D = B @ A in rows' terms."""

import torch

from transformer_engine_torch.blocks import block_values
from transformer_engine_torch.checks import kernel, need, on_gpu
from transformer_engine_torch.fp8 import (
    is_scaled_by_block,
    is_scaled_by_tensor,
    quantize,
    scaled_values,
    shape_of,
)
from transformer_engine_torch.names import TORCH, DType


def _values(tensor, columnwise: bool) -> tuple[torch.Tensor, bool]:
    """fp32 [rows, k], and whether it comes from FP8."""
    if is_scaled_by_tensor(tensor):
        return scaled_values(tensor, columnwise), True
    if is_scaled_by_block(tensor):
        return block_values(tensor, columnwise), True
    need(type(tensor) in (torch.Tensor, torch.nn.Parameter), f"GEMM takes no {type(tensor)}")
    on_gpu(tensor)
    return tensor.reshape(-1, tensor.shape[-1]).float(), False


def _check_fp8(A, B, a, b, transA, transB) -> None:
    """cublasLt's leading dimensions in the TN form, the only one that Hopper has for FP8."""
    m, k = a.shape if transA else a.shape[::-1]
    n = b.shape[1] if transB else b.shape[0]
    sizes = f"k={k}, m={m}, n={n}"
    need(k % 16 == 0, f"Leading dimension requirement on A for FP8 GEMM. Caller must pad. {sizes}")
    need(m % 8 == 0, f"cublasLt has no algorithm for an FP8 GEMM with m no multiple of 8. {sizes}")
    both_e5m2 = A._fp8_dtype == B._fp8_dtype == DType.kFloat8E5M2
    need(not both_e5m2, "E5M2 times E5M2")


@kernel
def generic_gemm(
    A, transA, B, transB, D, quantizer, output_dtype, bias, bias_type, gelu, gelu_in, grad,
    workspace, workspace_size, accumulate, use_split_accumulator, comm_overlap=None,
    comm_type=None, extra_output=None, bulk_overlap=False, alpha=1.0, beta=None,
):  # fmt: skip
    """Returns D, the gradient of the bias, and two that this path has not."""
    need(comm_overlap is None and not gelu and alpha == 1.0, "the emulated product is a plain one")
    # Hopper's FP8 products read A by rows and B by rows of what they multiply: TN.
    a, a_is_fp8 = _values(A, columnwise=not transA)
    b, b_is_fp8 = _values(B, columnwise=transB)
    need(a_is_fp8 == b_is_fp8, "GEMM of FP8 with high precision")
    if a_is_fp8:
        _check_fp8(A, B, a, b, transA, transB)
    else:
        need(A.dtype == B.dtype, f"GEMM of {A.dtype} with {B.dtype}")
    product = (b.t() if transB else b) @ (a.t() if transA else a)
    if bias is not None and not grad:
        product = product + bias.float()
    bias_gradient = b.sum(0).to(TORCH[bias_type]) if bias is not None and grad else None
    dtype = TORCH[output_dtype] if output_dtype is not None else A.dtype
    if D is None:
        leading = product.shape[:1] if transB else shape_of(B)[:-1]
        D = product.to(dtype).view(*leading, product.shape[-1])
        if quantizer is not None:
            D = quantize(D, quantizer)
        return D, bias_gradient, None, None
    need(quantizer is None and type(D) in (torch.Tensor, torch.nn.Parameter), f"out {type(D)}")
    on_gpu(D)
    need(D.dtype == dtype, f"GEMM output has invalid dtype (expected {dtype}, found {D.dtype})")
    need(D.numel() == product.numel(), f"GEMM output has invalid dims {tuple(D.shape)}")
    held = D.float() if accumulate else 0
    D.copy_((held + product.view(D.shape)).to(D.dtype))
    return D, bias_gradient, None, None
