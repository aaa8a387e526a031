"""FP8 with one scale a tensor: delayed and tensorwise scaling; and which kind a tensor is of."""

import torch

from transformer_engine_torch.checks import kernel, need, on_gpu
from transformer_engine_torch.names import LARGEST, TORCH


def is_scaled_by_tensor(tensor) -> bool:
    from transformer_engine.pytorch.tensor.storage.float8_tensor_storage import (
        Float8TensorStorage,
    )

    return isinstance(tensor, Float8TensorStorage)


def is_scaled_by_block(tensor) -> bool:
    from transformer_engine.pytorch.tensor.storage import float8_blockwise_tensor_storage

    return isinstance(tensor, float8_blockwise_tensor_storage.Float8BlockwiseQTensorStorage)


def cast(values: torch.Tensor, scale: torch.Tensor, dtype) -> torch.Tensor:
    """Bytes of `values * scale` in FP8; what is larger than its largest number becomes that."""
    scaled = values.float() * scale
    return scaled.clamp(-LARGEST[dtype], LARGEST[dtype]).to(TORCH[dtype]).view(torch.uint8)


def scale_of(amax, dtype, power_of_2: bool, epsilon: float) -> torch.Tensor:
    """The scale under which `amax` is FP8's largest number; one where there is no such scale."""
    largest = torch.finfo(torch.float32).max
    amax = amax.clamp(min=epsilon)
    scale = (LARGEST[dtype] / amax).clamp(max=largest)
    scale = torch.where((amax == 0) | ~torch.isfinite(amax), torch.ones_like(scale), scale)
    if not power_of_2:
        return scale
    mantissa, exponent = torch.frexp(scale)  # exact, where a logarithm rounds
    return torch.ldexp(torch.full_like(mantissa, 0.5), exponent)


def transposed(data: torch.Tensor) -> torch.Tensor:
    """[..., k] as [k, ...], as the columnwise data lies."""
    return data.permute(-1, *range(data.dim() - 1)).contiguous()


@kernel
def quantize(tensor, quantizer, output=None, noop=None):
    """`tensor` by the scales that its quantizer keeps (delayed) or takes from it (tensorwise)."""
    from transformer_engine.pytorch.tensor import float8_blockwise_tensor, float8_tensor

    from transformer_engine_torch.blocks import quantize_blocks

    on_gpu(tensor)
    values = tensor.contiguous()
    if noop is not None and noop.item():
        return output
    if isinstance(quantizer, float8_blockwise_tensor.Float8BlockQuantizer):
        return quantize_blocks(values, quantizer, output)
    current = isinstance(quantizer, float8_tensor.Float8CurrentScalingQuantizer)
    need(current or isinstance(quantizer, float8_tensor.Float8Quantizer), str(type(quantizer)))
    amax = values.float().abs().amax() if values.numel() else values.new_zeros(()).float()
    if not current:
        if quantizer.amax.numel():
            quantizer.amax.copy_(torch.maximum(quantizer.amax, amax))
        return _filled(values, quantizer, output)
    if not quantizer.use_existing_amax:
        quantizer.amax.copy_(amax)
    if quantizer.with_amax_reduction:
        torch.distributed.all_reduce(
            quantizer.amax, torch.distributed.ReduceOp.MAX, group=quantizer.amax_reduction_group
        )
    scale = scale_of(
        quantizer.amax, quantizer.dtype, quantizer.force_pow_2_scales, quantizer.amax_epsilon
    )
    quantizer.scale.copy_(scale)
    return _filled(values, quantizer, output)


def _filled(values, quantizer, output):
    """A new tensor of FP8, or `output` with this content; by rows, by columns or both."""
    from transformer_engine.pytorch.tensor.float8_tensor import Float8Tensor
    from transformer_engine.pytorch.tensor.storage.float8_tensor_storage import Float8TensorStorage

    data = cast(values, quantizer.scale, quantizer.dtype)
    inverse = (1 / quantizer.scale).reshape(1).clone()
    by_row, by_column = quantizer.rowwise_usage, quantizer.columnwise_usage
    need(by_row or by_column, "Invalid usages for Float8Quantizer.")
    if output is None:
        parts = dict(
            data=data if by_row else None,
            fp8_scale_inv=inverse,
            fp8_dtype=quantizer.dtype,
            data_transpose=transposed(data) if by_column else None,
            quantizer=quantizer,
        )
        if quantizer.internal:
            return Float8TensorStorage(**parts)
        return Float8Tensor(shape=list(values.shape), dtype=values.dtype, **parts)
    need(is_scaled_by_tensor(output), f"Float8Quantizer must not output to {type(output)}")
    output._data = _into(output._data, data.clone()) if by_row else None
    output._transpose = _into(output._transpose, transposed(data)) if by_column else None
    output._transpose_invalid = not by_column
    output._scale_inv.view(-1).copy_(inverse)
    output._fp8_dtype = quantizer.dtype
    return output


def _into(held, fresh):
    return fresh if held is None else held.copy_(fresh.view(held.shape))


@kernel
def dequantize(input, otype):
    need(is_scaled_by_tensor(input), f"the emulated device dequantizes no {type(input)}")
    values = scaled_values(input, columnwise=input._data is None)
    return values.reshape(shape_of(input)).to(TORCH[otype])


def scaled_values(tensor, columnwise: bool) -> torch.Tensor:
    """What an FP8 tensor stands for, fp32 [rows, k], read from the data that a product reads."""
    if columnwise:
        held = tensor._transpose is not None and not tensor._transpose_invalid
        need(held, "GEMM needs the columnwise (transposed) FP8 data, which is missing")
        data = tensor._transpose.reshape(tensor._transpose.shape[0], -1).t()
    else:
        need(tensor._data is not None, "GEMM needs the rowwise FP8 data, which is missing")
        data = tensor._data.reshape(-1, tensor._data.shape[-1])
    return data.contiguous().view(TORCH[tensor._fp8_dtype]).float() * tensor._scale_inv


def shape_of(tensor) -> tuple[int, ...]:
    """Of any tensor that a kernel takes, by the data that it has."""
    if is_scaled_by_tensor(tensor):
        rows, columns = tensor._data, tensor._transpose
    elif is_scaled_by_block(tensor):
        rows, columns = tensor._rowwise_data, tensor._columnwise_data
    else:
        rows, columns = tensor, None
    return tuple(rows.shape) if rows is not None else (*columns.shape[1:], columns.shape[0])


@kernel
def fp8_transpose(input, dtype, *, out=None):
    result = transposed(input)
    return result if out is None else out.copy_(result.view(out.shape))


@kernel
def bgrad_quantize(input, quantizer):
    return input.reshape(-1, input.shape[-1]).sum(0), quantize(input, quantizer)


@kernel
def compute_amax(input, amax):
    amax.copy_(input.float().abs().amax())


@kernel
def fused_amax_and_scale_update_after_reduction(
    reduced, histories, scales, algorithm, dtype, margin
):
    """The delayed recipe's step: the newest amax ends a history, whose first row is then empty."""
    start = 0
    for history, scale in zip(histories, scales, strict=True):
        count = scale.numel()
        history[0].copy_(reduced[start : start + count].view(-1))
        start += count
        amax = history.amax(0) if algorithm == "max" else history[0].clone()
        history.copy_(torch.roll(history, -1, 0))
        history[0].zero_()
        fresh = LARGEST[dtype] / amax / 2**margin
        fresh = torch.where((amax > 0) & torch.isfinite(amax), fresh, scale)
        scale.copy_(fresh.clamp(max=torch.finfo(torch.float32).max))
