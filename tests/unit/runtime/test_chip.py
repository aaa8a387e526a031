"""Precision against the facts of a device, without having it."""

import re
from pathlib import Path

import pytest

from geo_nemo.config import Parallel, Precision, UserError
from geo_nemo.config.precision import FP8
from geo_nemo.runtime.chip import Chip, check_chip, slow_precision
from geo_nemo.runtime.engine_versions import LEAST_TRANSFORMER_ENGINE, TRANSFORMER_ENGINES

ROOT = Path(__file__).parents[3]
CPU = Chip("cpu")
H100 = Chip("cuda", "NVIDIA H100", (9, 0), (12, 9), "2.9.0")
FUSED = Parallel(gradient_accumulation_fusion=True)


def other(**facts) -> Chip:
    """An H100 with other facts."""
    known = {name: getattr(H100, name) for name in Chip.__slots__}
    return Chip(**known | facts)


def fp8(recipe: str) -> Precision:
    return Precision(fp8=FP8(recipe=recipe))


@pytest.mark.parametrize("recipe", ["none", "delayed", "tensorwise", "blockwise"])
def test_hopper_has_all_but_those_of_small_blocks(recipe):
    check_chip(fp8(recipe), Parallel(), H100)


@pytest.mark.parametrize("version", ["2.9.0", "2.12.0+abc", "3.0"])
def test_later_transformer_engines_are_taken(version):
    check_chip(fp8("tensorwise"), FUSED, other(transformer_engine=version))


@pytest.mark.parametrize(
    ("recipe", "capability"), [("mxfp8", (10, 0)), ("nvfp4", (10, 0)), ("nvfp4", (12, 0))]
)
def test_blackwell_has_small_blocks(recipe, capability):
    check_chip(fp8(recipe), Parallel(), other(capability=capability))


def test_without_fp8_any_device_will_do():
    for chip in (CPU, other(capability=(8, 0), transformer_engine=None)):
        check_chip(Precision(), Parallel(), chip)
    check_chip(Precision(), FUSED, CPU)


@pytest.mark.parametrize(
    ("precision", "chip", "told"),
    [
        (fp8("delayed"), CPU, "recipe=delayed needs a GPU.*give precision=bf16"),
        (Precision(moments="bf16"), CPU, "moments=bf16 needs a GPU"),
        (fp8("delayed"), other(capability=(8, 0)), r"needs compute capability 8\.9.* has .*8\.0"),
        (fp8("blockwise"), other(capability=(8, 9)), r"needs compute capability 9\.0"),
        (fp8("blockwise"), other(cuda=(12, 8)), r"CUDA 12\.9, and this one is for 12\.8"),
        (fp8("mxfp8"), H100, r"needs Blackwell.*has compute capability 9\.0.*tensorwise"),
        (fp8("mxfp8"), other(capability=(12, 0)), "needs Blackwell"),
        (fp8("nvfp4"), H100, r"recipe=nvfp4 needs Blackwell.*10\.0 or later.*has .* 9\.0"),
        (fp8("nvfp4"), CPU, "recipe=nvfp4 needs a GPU"),
        (fp8("delayed"), other(transformer_engine=None), "Transformer Engine, which is not inst"),
        (fp8("delayed"), other(transformer_engine="2.8.1"), r"2\.9 or later, and this is 2\.8\.1"),
        (Precision(moments="bf16"), other(transformer_engine=None), "moments=bf16 needs Transf"),
    ],
)  # fmt: skip
def test_what_the_device_cannot_do_is_one_line_with_a_way_out(precision, chip, told):
    with pytest.raises(UserError, match=told) as error:
        check_chip(precision, Parallel(), chip)
    assert "\n" not in str(error.value)


def test_fused_accumulation_wants_transformer_engine_on_a_gpu():
    with pytest.raises(UserError, match="gradient_accumulation_fusion needs Transformer Engine"):
        check_chip(Precision(), FUSED, other(transformer_engine=None))


def test_the_range_of_transformer_engines_is_the_same_wherever_it_stands():
    from geo_nemo.diagnostics.doctor import OPTIONAL

    extra = f'gpu = ["transformer-engine[pytorch]{TRANSFORMER_ENGINES}"]'
    assert extra in (ROOT / "pyproject.toml").read_text()
    assert ("transformer-engine", TRANSFORMER_ENGINES) in [each[:2] for each in OPTIONAL]
    least, below = re.fullmatch(r">=2\.(\d+),<2\.(\d+)", TRANSFORMER_ENGINES).groups()
    assert (2, int(least)) == LEAST_TRANSFORMER_ENGINE
    for page in ("docs/gpu.md", "docs/containers.md"):
        assert f"2.{least} to 2.{int(below) - 1}" in (ROOT / page).read_text(), page
    makefile = (ROOT / "Makefile").read_text()
    assert f"2.{least}.0 " in makefile and f"2.{int(below) - 1}." in makefile


@pytest.mark.parametrize(
    ("precision", "chip", "slow"),
    [
        (Precision(), Chip("cpu", vectors="AVX2"), True),
        (Precision(dtype="fp32"), Chip("cpu", vectors="AVX2"), False),
        (Precision(), Chip("cpu", vectors="AVX512"), False),
        (Precision(), Chip("cpu", vectors="DEFAULT"), False),  # an ARM's, of which nothing is known
        (Precision(), H100, False),
    ],
)
def test_a_precision_that_a_cpu_has_no_instructions_for_is_told(precision, chip, slow):
    told = slow_precision(precision, chip)
    assert (told is not None) is slow
    assert not slow or "precision=fp32" in told
