"""What this process's device can do, and whether the run's precision and memory options fit it.

The checks take facts, so that they can be tried on a machine without the device.
"""

import re
from dataclasses import dataclass

import torch

from geo_nemo.config import Parallel, Precision, UserError
from geo_nemo.runtime.engine_versions import (
    LEAST_TRANSFORMER_ENGINE,
    transformer_engine_version,
)

# Transformer Engine's check_fp8_support, check_fp8_block_scaling_support, check_mxfp8_support,
# check_nvfp4_support: the same in 2.9 to 2.20.
ADA, HOPPER, BLACKWELL, AFTER_MXFP8 = (8, 9), (9, 0), (10, 0), (12, 0)
BLOCKWISE_CUDA = (12, 9)


@dataclass(frozen=True, slots=True)
class Chip:
    """Facts of a device.

    kind: `cpu` or `cuda`. capability, cuda: of the GPU and of torch's build, (major, minor).
    transformer_engine: its version, None where it is not installed.
    vectors: a CPU's widest instructions that torch uses: `AVX2`, `AVX512`, ...
    """

    kind: str
    name: str = ""
    capability: tuple[int, int] | None = None
    cuda: tuple[int, int] | None = None
    transformer_engine: str | None = None
    vectors: str = ""


def chip_of(device: torch.device) -> Chip:
    """The facts of `device`."""
    if device.type != "cuda":
        return Chip(device.type, vectors=torch.backends.cpu.get_cpu_capability())
    return Chip(
        device.type,
        torch.cuda.get_device_name(device),
        torch.cuda.get_device_capability(device),
        _numbers(torch.version.cuda or ""),
        transformer_engine_version(),
    )


def check_chip(precision: Precision, parallel: Parallel, chip: Chip) -> None:
    """Raise `UserError` where `chip` cannot compute as `precision` and `parallel` say."""
    fp8 = precision.fp8
    if fp8.on:
        what = f"precision.fp8.recipe={fp8.recipe}"
        _check_gpu(what, "Megatron-Core computes in BF16 without a word on a CPU", chip)
        _check_capability(fp8.recipe, what, chip)
        _check_transformer_engine(what, chip)
    if precision.moments == "bf16":
        _check_gpu("precision.moments=bf16", "Transformer Engine's AdamW has them alone", chip)
        _check_transformer_engine("precision.moments=bf16", chip)
    if parallel.gradient_accumulation_fusion and chip.kind == "cuda":
        _check_transformer_engine("parallel.gradient_accumulation_fusion", chip)


def slow_precision(precision: Precision, chip: Chip) -> str | None:
    """A line where `chip` has no instructions for the precision and does it piece by piece.

    12M parameters: 75 s a step in BF16 and 4.2 s in FP32, of one core of an AMD EPYC with AVX2.
    """
    if chip.kind != "cpu" or precision.dtype != "bf16" or chip.vectors != "AVX2":
        return None
    return (
        "precision: BF16 is many times slower than FP32 on this CPU, whose widest vectors are "
        "AVX2; precision=fp32 is the fast one here"
    )


def _check_gpu(what: str, why: str, chip: Chip) -> None:
    if chip.kind != "cuda":
        raise UserError(f"{what} needs a GPU: {why}; give precision=bf16 or precision=fp32")


def _check_capability(recipe: str, what: str, chip: Chip) -> None:
    has = f"{chip.name or 'this GPU'} has compute capability {_shown(chip.capability)}"
    if recipe in ("mxfp8", "nvfp4"):
        those = "10.x or 11.x" if recipe == "mxfp8" else "10.0 or later"
        if chip.capability < BLACKWELL or (recipe == "mxfp8" and chip.capability >= AFTER_MXFP8):
            raise UserError(
                f"{what} needs Blackwell, compute capability {those}, and {has}; "
                "give precision.fp8.recipe=tensorwise or precision=bf16"
            )
        return
    least = HOPPER if recipe == "blockwise" else ADA
    if chip.capability < least:
        raise UserError(
            f"{what} needs compute capability {_shown(least)}, and {has}; give precision=bf16"
        )
    if recipe == "blockwise" and (chip.cuda or (0, 0)) < BLOCKWISE_CUDA:
        raise UserError(
            f"{what} needs a torch for CUDA {_shown(BLOCKWISE_CUDA)}, and this one is for "
            f"{_shown(chip.cuda)}; give precision.fp8.recipe=tensorwise, or a newer container"
        )


def _check_transformer_engine(what: str, chip: Chip) -> None:
    if chip.transformer_engine is None:
        raise UserError(
            f"{what} needs Transformer Engine, which is not installed; "
            "use NVIDIA's PyTorch container or pip install -e '.[gpu]' in the checkout"
        )
    if _numbers(chip.transformer_engine) < LEAST_TRANSFORMER_ENGINE:
        raise UserError(
            f"{what} needs Transformer Engine {_shown(LEAST_TRANSFORMER_ENGINE)} or later, and "
            f"this is {chip.transformer_engine}; use a newer container"
        )


def _numbers(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _shown(pair: tuple[int, int] | None) -> str:
    return ".".join(map(str, pair)) if pair else "unknown"
