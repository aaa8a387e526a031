"""A GPU whose memory is the host's, for a torch without CUDA, and Transformer Engine on it."""

import ctypes
import importlib.util
import os
from pathlib import Path

MARK = "GEO_NEMO_GPU_EMULATED"


def start() -> None:
    """Bring up the device in this process, in which torch is not imported yet."""
    # Without them Transformer Engine looks for its compiled core, and compiles for the GPU.
    os.environ.update(NVTE_PROJECT_BUILDING="1", NVTE_TORCH_COMPILE="0", TORCHDYNAMO_DISABLE="1")
    # Before torch, which asks for CUDA's hooks once; and ahead of it, so that its own question for
    # the accelerator of this process is answered here.
    library = importlib.util.find_spec("emulated_cuda").origin
    ctypes.CDLL(str(Path(library)), mode=ctypes.RTLD_GLOBAL)
    from emulated_gpu import nccl, torch_cuda, transformer_engine

    torch_cuda.install()
    nccl.install()
    transformer_engine.install()
    os.environ[MARK] = "1"
