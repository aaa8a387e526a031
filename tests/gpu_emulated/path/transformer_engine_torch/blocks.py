"""FP8 with a scale for each 128 elements of a row, or for each square of 128 by 128."""

import torch

from transformer_engine_torch.checks import kernel, need
from transformer_engine_torch.fp8 import cast, scale_of
from transformer_engine_torch.names import TORCH

BLOCK = 128


def block_scales(values: torch.Tensor, quantizer) -> torch.Tensor:
    """Scales of `values` [m, k]: [m, k/128], or [m/128, k/128] of squares."""
    m, k = values.shape
    square = quantizer.block_scaling_dim == 2
    padded = torch.nn.functional.pad(
        values.float().abs(), (0, -k % BLOCK, 0, -m % BLOCK if square else 0)
    )
    if square:
        amax = padded.view(-1, BLOCK, padded.shape[1] // BLOCK, BLOCK).amax((1, 3))
    else:
        amax = padded.view(m, -1, BLOCK).amax(2)
    return scale_of(amax, quantizer.dtype, quantizer.force_pow_2_scales, quantizer.amax_epsilon)


def _spread(scales, m: int, k: int, square: bool) -> torch.Tensor:
    """A scale for each element."""
    scales = scales.repeat_interleave(BLOCK, 1)[:, :k]
    return scales.repeat_interleave(BLOCK, 0)[:m] if square else scales


def _one_way(values, quantizer, shape):
    """Data of `values` [m, k] in `shape`, and its inverse scales as the product reads them."""
    square = quantizer.block_scaling_dim == 2
    scales = block_scales(values, quantizer)
    data = cast(values, _spread(scales, *values.shape, square), quantizer.dtype).view(shape)
    inverse = 1 / scales if square else (1 / scales).t().contiguous()
    return data, torch.nn.functional.pad(inverse, (0, -inverse.shape[1] % 4))


def quantize_blocks(values, quantizer, output):
    from transformer_engine.pytorch.tensor.float8_blockwise_tensor import Float8BlockwiseQTensor
    from transformer_engine.pytorch.tensor.storage.float8_blockwise_tensor_storage import (
        Float8BlockwiseQTensorStorage,
    )

    shape = values.shape
    need(shape[-1] % 16 == 0, "blockwise: inner dimension must be a multiple of 16")
    flat = values.reshape(-1, shape[-1])
    names = ("rowwise_data", "rowwise_scale_inv", "columnwise_data", "columnwise_scale_inv")
    found = dict.fromkeys(names)
    if quantizer.rowwise_usage:
        found.update(zip(names[:2], _one_way(flat, quantizer, shape), strict=True))
    if quantizer.columnwise_usage:
        columns = flat.t().contiguous()
        turned = (shape[-1], *shape[:-1])
        found.update(zip(names[2:], _one_way(columns, quantizer, turned), strict=True))
    for name, columnwise in (("rowwise_scale_inv", False), ("columnwise_scale_inv", True)):
        expected = tuple(quantizer.get_scale_shape(shape, columnwise))
        need(found[name] is None or tuple(found[name].shape) == expected, "shape of scales")
    if output is None:
        parts = dict(
            found,
            fp8_dtype=quantizer.dtype,
            quantizer=quantizer,
            is_2D_scaled=quantizer.block_scaling_dim == 2,
        )
        if quantizer.internal:
            return Float8BlockwiseQTensorStorage(**parts)
        return Float8BlockwiseQTensor(shape=list(shape), dtype=values.dtype, **parts)
    for name, value in found.items():
        held = getattr(output, f"_{name}")
        if value is None or held is None:
            setattr(output, f"_{name}", value)
        else:
            held.copy_(value.view(held.shape))
    output._fp8_dtype = quantizer.dtype
    return output


def block_values(tensor, columnwise: bool) -> torch.Tensor:
    """What a tensor stands for, fp32 [rows, k], read from the data that a product reads."""
    side = "columnwise" if columnwise else "rowwise"
    data, scales = (getattr(tensor, f"_{side}_{part}") for part in ("data", "scale_inv"))
    need(data is not None, f"blockwise GEMM needs {side} data, which is missing")
    data = data.reshape(data.shape[0], -1) if columnwise else data.reshape(-1, data.shape[-1])
    m, k = data.shape
    square = tensor._is_2D_scaled
    scales = scales[:, : -(-k // BLOCK)] if square else scales[:, :m].t()
    values = data.contiguous().view(TORCH[tensor._fp8_dtype]).float()
    values = values * _spread(scales, m, k, square)
    return values.t() if columnwise else values


def _square_of(count: int, start: int, width: int, block: int):
    """Row and column of squares that hold elements `start` and on of a matrix of that width."""
    at = torch.arange(start, start + count)
    return at // width // block, at % width // block


@kernel
def fp8_block_scaling_compute_partial_amax(tensor, amax, h, w, start_offset, block_len):
    """Of a rank's part of a weight [h, w], which begins at an element of its own."""
    row, column = _square_of(tensor.numel(), start_offset, w, block_len)
    at = (row * amax.shape[1] + column).to(tensor.device)
    amax.view(-1).scatter_reduce_(0, at, tensor.reshape(-1).float().abs(), "amax")


@kernel
def fp8_block_scaling_partial_cast(inp, out, scale, h, w, start_offset, block_len, out_dtype):
    row, column = _square_of(inp.numel(), start_offset, w, block_len)
    each = scale[row.to(inp.device), column.to(inp.device)]
    out.copy_(cast(inp.reshape(-1), each, out_dtype).view(out.shape))
