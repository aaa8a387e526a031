"""The stand-in's FP8, and products, against formulas in NumPy and another library's float8."""

import numpy as np
import pytest
import torch

# A product's sum in fp32 over at most 256 numbers.
FP32 = 1e-5


def rounded(values: np.ndarray, kind: str = "e4m3fn") -> np.ndarray:
    """To float8, as ml_dtypes rounds."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    return values.astype(getattr(ml_dtypes, f"float8_{kind}")).astype(np.float64)


def array(tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def tensorwise(kernels, columnwise=True, kind="kFloat8E4M3"):
    from transformer_engine.pytorch import Float8CurrentScalingQuantizer

    return Float8CurrentScalingQuantizer(
        getattr(kernels.DType, kind), torch.device("cuda"), columnwise=columnwise
    )


def blockwise(kernels, dimensions):
    from transformer_engine.pytorch import Float8BlockQuantizer

    return Float8BlockQuantizer(
        kernels.DType.kFloat8E4M3, rowwise=True, columnwise=True, block_scaling_dim=dimensions
    )


@pytest.mark.parametrize(("kind", "largest"), [("e4m3fn", 448.0), ("e5m2", 57344.0)])
def test_tensorwise_scales_the_largest_to_the_largest_of_float8(kernels, draw, kind, largest):
    x = draw(6, 32)
    name = {"e4m3fn": "kFloat8E4M3", "e5m2": "kFloat8E5M2"}[kind]
    quantizer = tensorwise(kernels, kind=name)
    made = kernels.quantize(x, quantizer)
    scale = np.float32(largest) / np.abs(array(x)).max().astype(np.float32)
    assert float(quantizer.scale) == pytest.approx(float(scale), rel=1e-7)
    scaled = (x.cpu().numpy() * quantizer.scale.cpu().numpy()).astype(np.float32)
    expected = rounded(scaled, kind) / float(quantizer.scale)
    np.testing.assert_allclose(
        array(kernels.dequantize(made, kernels.DType.kFloat32)), expected, rtol=1e-6
    )


def test_the_delayed_recipe_rounds_by_the_scale_that_it_has_and_keeps_the_largest(kernels, draw):
    from transformer_engine.pytorch import Float8Quantizer

    amax = torch.tensor([0.5], device="cuda")
    quantizer = Float8Quantizer(
        torch.tensor([200.0], device="cuda"), amax, kernels.DType.kFloat8E4M3
    )
    x = draw(8, 16)
    made = kernels.quantize(x, quantizer)
    assert float(amax) == float(x.abs().max())
    scaled = np.clip(x.cpu().numpy() * np.float32(200), -448, 448)
    np.testing.assert_array_equal(
        array(made._data.view(torch.float8_e4m3fn)), rounded(scaled), strict=True
    )
    kernels.quantize(x / 100, quantizer)
    assert float(amax) == float(x.abs().max()), "a smaller one does not replace it"


def test_scales_of_the_delayed_recipe_follow_the_largest_of_the_history(kernels):
    history = torch.tensor([[9.0], [4.0], [2.0]], device="cuda")
    scale = torch.tensor([1.0], device="cuda")
    update = kernels.fused_amax_and_scale_update_after_reduction
    new = torch.tensor([7.0], device="cuda")
    update(new, [history], [scale], "max", kernels.DType.kFloat8E4M3, 0)
    assert float(scale) == 64.0  # 448 / 7
    assert history.flatten().tolist() == [0.0, 2.0, 7.0]
    update(new * 0, [history], [scale], "most_recent", kernels.DType.kFloat8E4M3, 0)
    assert float(scale) == 64.0, "nothing was seen"


@pytest.mark.parametrize("dimensions", [1, 2])
def test_blockwise_scales_are_powers_of_two_of_their_blocks(kernels, draw, dimensions):
    x = draw(256, 384) * torch.logspace(-3, 3, 384, device="cuda")
    made = kernels.quantize(x, blockwise(kernels, dimensions))
    values = x.cpu().numpy()
    rows = 128 if dimensions == 2 else 1
    expected = np.empty(values.shape)
    for i in range(0, 256, rows):
        for j in range(0, 384, 128):
            block = values[i : i + rows, j : j + 128]
            scale = 2.0 ** np.floor(np.log2(448 / np.abs(block).max()))
            expected[i : i + rows, j : j + 128] = rounded(block * np.float32(scale)) / scale
    from transformer_engine_torch.blocks import block_values

    np.testing.assert_array_equal(array(block_values(made, columnwise=False)), expected)


def test_columns_of_blocks_are_the_rows_of_the_transpose(kernels, draw):
    from transformer_engine_torch.blocks import block_values

    x = draw(256, 384)
    made = kernels.quantize(x, blockwise(kernels, 1))
    turned = kernels.quantize(x.t().contiguous(), blockwise(kernels, 1))
    assert torch.equal(block_values(made, columnwise=True), block_values(turned, False).t())


def test_a_part_of_a_weight_is_cast_as_the_whole(kernels, draw):
    weight = draw(256, 256)
    amax = torch.zeros(2, 2, device="cuda")
    for start, end in ((0, 40000), (40000, 65536)):
        part = weight.flatten()[start:end]
        kernels.fp8_block_scaling_compute_partial_amax(part, amax, 256, 256, start, 128)
    blocks = array(weight).reshape(2, 128, 2, 128)
    assert np.array_equal(array(amax), np.abs(blocks).max((1, 3)))
    scale, inverse = torch.empty_like(amax), torch.empty_like(amax)
    kernels.multi_tensor_compute_scale_and_scale_inv(
        2048, None, [[amax], [scale], [inverse]], 448.0, True, 0.0
    )
    out = torch.zeros(65536, dtype=torch.uint8, device="cuda")
    kernels.fp8_block_scaling_partial_cast(
        weight.flatten()[40000:], out[40000:], scale, 256, 256, 40000, 128,
        kernels.DType.kFloat8E4M3,
    )  # fmt: skip
    whole = kernels.quantize(weight, blockwise(kernels, 2))._rowwise_data.flatten()
    assert torch.equal(out[40000:], whole[40000:])


def product(kernels, a, b, layout, *, out=None, kind=None, bias=None, grad=False, accumulate=False):
    """`generic_gemm` by the letters of its operands, T or N."""
    kind = kernels.DType.kFloat32 if kind is None else kind
    return kernels.generic_gemm(
        a, layout[0] == "T", b, layout[1] == "T", out, None, kind, bias, kernels.DType.kFloat32,
        False, None, grad, None, 0, accumulate, True,
    )  # fmt: skip


# Forward, gradient of the input, gradient of the weight: weight [m, k], input [n, k].
LAYOUTS = {
    "TN": ((48, 32), (16, 32), lambda a, b: b @ a.T),
    "NN": ((48, 32), (16, 48), lambda a, b: b @ a),
    "NT": ((16, 32), (16, 48), lambda a, b: b.T @ a),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fp8", [False, True], ids=["fp32", "fp8"])
def test_products_in_every_layout(kernels, draw, layout, fp8):
    shape_a, shape_b, formula = LAYOUTS[layout]
    a, b = draw(*shape_a), draw(*shape_b)
    given = [kernels.quantize(t, tensorwise(kernels)) for t in (a, b)] if fp8 else [a, b]
    if fp8:
        a, b = (kernels.dequantize(t, kernels.DType.kFloat32) for t in given)
    output, *_ = product(kernels, *given, layout)
    expected = formula(array(a), array(b))
    np.testing.assert_allclose(array(output), expected, atol=FP32 * np.abs(expected).max())


@pytest.mark.parametrize("recipe", ["plain", "tensorwise", "blockwise"])
def test_an_input_of_three_dimensions_gives_an_output_of_three(kernels, draw, recipe):
    weight, x = draw(128, 256), draw(4, 32, 256)
    if recipe == "tensorwise":
        weight, x = (kernels.quantize(t, tensorwise(kernels)) for t in (weight, x))
    elif recipe == "blockwise":
        weight, x = (kernels.quantize(t, blockwise(kernels, d)) for t, d in ((weight, 2), (x, 1)))
    output, *_ = product(kernels, weight, x, "TN")
    assert output.shape == (4, 32, 128)


def test_a_product_adds_its_bias_sums_its_gradient_and_accumulates(kernels, draw):
    weight, x, bias, upstream = draw(48, 32), draw(16, 32), draw(48), draw(16, 48)
    output, *_ = product(kernels, weight, x, "TN", bias=bias)
    np.testing.assert_allclose(array(output), array(x) @ array(weight).T + array(bias), atol=1e-4)
    held = draw(48, 32)
    before = array(held)
    _, of_bias, *_ = product(
        kernels, x, upstream, "NT", out=held, bias=bias, grad=True, accumulate=True
    )
    np.testing.assert_allclose(array(held), before + array(upstream).T @ array(x), atol=1e-4)
    np.testing.assert_allclose(array(of_bias), array(upstream).sum(0), atol=1e-4)


def test_what_cublas_refuses_is_refused(kernels, draw):
    odd = [kernels.quantize(draw(32, 24), tensorwise(kernels)) for _ in "ab"]
    with pytest.raises(RuntimeError, match="Caller must pad"):
        product(kernels, *odd, "TN")
    rows = [kernels.quantize(draw(32, 32), tensorwise(kernels, columnwise=False)) for _ in "ab"]
    with pytest.raises(RuntimeError, match="columnwise"):
        product(kernels, *rows, "NN")
    with pytest.raises(RuntimeError, match="high precision"):
        product(kernels, rows[0], draw(32, 32), "TN")
    with pytest.raises(RuntimeError, match="invalid dtype"):
        product(kernels, draw(8, 8), draw(8, 8), "TN", out=draw(8, 8, dtype=torch.bfloat16))
    with pytest.raises(RuntimeError, match="GEMM of"):
        product(kernels, draw(8, 8), draw(8, 8, dtype=torch.bfloat16), "TN")
