"""What is wrong with a GPU, by the words of CUDA, torch and Transformer Engine: a line each.

Their words are quoted: of torch 2.13 (torch/csrc/cuda/Module.cpp, c10/cuda/CUDAFunctions.h), of
CUDA's runtime, and of Transformer Engine 2.12 (common/__init__.py).
"""

import logging

import pytest
import torch

from geo_nemo.config import UserError
from geo_nemo.model.flops import peak_flops
from geo_nemo.runtime import gpu
from geo_nemo.runtime.gpu import (
    Sight,
    check_gpu,
    engine_trouble,
    kernel_trouble,
    mig_trouble,
    no_gpu,
    others_trouble,
)

H100 = ("NVIDIA H100 80GB HBM3", (9, 0))
SLICE = "NVIDIA H100 80GB HBM3 MIG 1g.10gb"
OLD = (
    "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU "
    "driver by downloading and installing a new version"
)
NO_DRIVER = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed "
    "a driver from http://www.nvidia.com/Download/index.aspx"
)
NONE_VISIBLE = "No CUDA GPUs are available"
FABRIC = "Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized"
NO_IMAGE = "CUDA error: no kernel image is available for execution on the device"
GIB = 1 << 30


@pytest.mark.parametrize(
    ("seen", "text", "mend"),
    [
        (Sight(None, None, True, ""), "built for CPUs alone", "CUDA build of torch"),
        (Sight("13.0", None, True, OLD),
         "too old for this torch, which is built for CUDA 13.0, and runs CUDA 12 at most",
         "update it to 580 or newer"),
        (Sight("12.8", None, True, OLD), "built for CUDA 12.8", "525 or newer"),
        (Sight("13.0", None, True, FABRIC), "no fabric manager", "nvidia-fabricmanager"),
        (Sight("13.0", None, True, NO_DRIVER), "libraries are not in this container", "--gpus all"),
        (Sight("13.0", None, False, NO_DRIVER), "has no NVIDIA driver", "machine with a GPU"),
        (Sight("13.0", "", True, NONE_VISIBLE), "CUDA_VISIBLE_DEVICES='' shows none", "unset"),
        (Sight("13.0", "7", True, NONE_VISIBLE), "CUDA_VISIBLE_DEVICES='7' shows", "nvidia-smi -L"),
        (Sight("13.0", None, True, NONE_VISIBLE), "shows no device (No CUDA GPUs", "srun --gpus"),
        (Sight("13.0", None, False, ""), "shows no GPU", "machine with one"),
    ],
)  # fmt: skip
def test_why_torch_shows_no_gpu(seen, text, mend):
    found = no_gpu(seen)
    assert text in found.text and mend in found.mend
    assert "\n" not in str(found)


def test_the_torch_that_is_installed_here_is_asked_for_real():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    seen = gpu.sight()
    assert seen.cuda == torch.version.cuda
    if seen.cuda is None:
        assert no_gpu(seen).text == "this torch is built for CPUs alone"


@pytest.mark.parametrize(
    ("error", "engine", "text", "mend"),
    [
        (ImportError("/x/transformer_engine_torch.so: undefined symbol: _ZN3c106detail14torchE"),
         "2.12.0", "built for another torch or CUDA", "--no-deps transformer-engine-torch==2.12.0"),
        (OSError("libcudart.so.12: cannot open shared object file: No such file or directory"),
         "2.12.0", "built for another torch or CUDA", "build it again"),
        (AssertionError("Transformer Engine package version mismatch. Found\n "
                        "transformer_engine_torch v2.11.0, transformer_engine v2.12.0"),
         "2.12.0", "parts of other versions", "core_cu13]>=2.9,<2.21'"),
        (ImportError("No module named 'transformer_engine'"), None, "is not installed", "pip inst"),
        (RuntimeError("cuDNN failed"), "2.12.0", "2.12.0 does not import (cuDNN failed)", "pip i"),
    ],
)  # fmt: skip
def test_why_transformer_engine_does_not_import(error, engine, text, mend):
    found = engine_trouble(error, engine, "13.0")
    assert text in found.text and mend in found.mend
    assert "\n" not in str(found) and len(str(found)) < 500


@pytest.mark.parametrize(
    ("whose", "said", "text", "mend"),
    [
        ("torch", NO_IMAGE, "torch has no code for NVIDIA H100 80GB HBM3 (sm_90)", "get_arch_list"),
        ("Transformer Engine", "rmsnorm.cpp:12 in function x: CUDA Error: invalid device function",
         "Transformer Engine has no code for", "pruned for this chip"),
        ("torch", "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
         "held by another process", "another GPU"),
        ("Transformer Engine", "the provided PTX was compiled with an unsupported toolchain.",
         "driver is too old for the code", "update the driver"),
        ("torch", "CUDA error: uncorrectable ECC error encountered", "ECC error", "nvidia-smi -q"),
    ],
)  # fmt: skip
def test_why_a_first_kernel_fails(whose, said, text, mend):
    found = kernel_trouble(whose, RuntimeError(said), *H100)
    assert text in found.text and mend in found.mend


def test_other_processes_on_the_gpu_are_told_when_they_hold_much():
    assert others_trouble(78 * GIB, 79 * GIB) is None
    found = others_trouble(49 * GIB, 79 * GIB)
    assert "other processes hold 30.0 of its 79 GiB" in found.text


def test_a_slice_of_a_gpu_trains_alone_and_has_no_known_peak():
    assert mig_trouble(H100[0], 8) is None
    assert "NCCL does not join slices" in mig_trouble(SLICE, 2).text
    assert "MFU is not told" in mig_trouble(SLICE, 1).text
    assert peak_flops(SLICE, "bf16") is None
    assert peak_flops(H100[0], "bf16") == 989.4e12


@pytest.fixture
def h100(monkeypatch):
    """A GPU on which all is well; what is set on it is not."""
    facts = {"name": H100[0], "memory": (78 * GIB, 79 * GIB), "engine": None, "kernels": None}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: facts["name"])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: facts["memory"])
    monkeypatch.setattr(gpu, "import_engine", lambda: facts["engine"])
    monkeypatch.setattr(gpu, "first_kernels", lambda device: facts["kernels"])
    return facts


def test_a_training_starts_where_all_is_well(h100, caplog):
    check_gpu(torch.device("cuda", 0), 8)
    check_gpu(torch.device("cpu"), 8)
    assert not caplog.records


def test_a_training_does_not_start_on_what_cannot_work(h100):
    h100["engine"] = engine_trouble(ImportError("undefined symbol: x"), "2.12.0", "13.0")
    with pytest.raises(UserError, match=r"^GPU 3: .* 2\.12\.0 was built for another"):
        check_gpu(torch.device("cuda", 3), 8)
    h100["engine"], h100["name"] = None, SLICE
    with pytest.raises(UserError, match=r"GPU 0: .*NCCL does not join slices"):
        check_gpu(torch.device("cuda", 0), 2)


def test_what_a_training_can_live_with_is_a_warning(h100, caplog):
    h100["name"], h100["memory"] = SLICE, (5 * GIB, 9 * GIB)
    with caplog.at_level(logging.WARNING):
        check_gpu(torch.device("cuda", 0), 1)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "slice of a GPU" in told[0] and "hold 4.0 of its 9 GiB" in told[1]
