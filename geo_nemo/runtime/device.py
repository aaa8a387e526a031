"""Which device a run uses, and how Megatron-Core is prepared for it."""

import os

import torch

from geo_nemo.common.log import logger
from geo_nemo.config import Parallel, UserError
from geo_nemo.runtime.gpu import no_gpu, sight
from geo_nemo.runtime.launcher import local_rank

LOG = logger(__name__)


def resolve_device(requested: str, setting: str = "device=") -> torch.device:
    """`auto`, `cpu` or `gpu` as a torch device; on a GPU, the one of this local rank.

    setting: what the user writes before it, for messages.
    """
    if requested == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available() or not torch.cuda.device_count():
        seen = sight()
        why = no_gpu(seen)
        if requested == "gpu":
            raise UserError(f"{setting}gpu: torch sees no GPU here: {why}, or give {setting}cpu")
        if seen.cuda and seen.has_nodes:  # somebody pays for one
            LOG.warning(f"{setting}auto takes the CPU, and this machine has a GPU: {why}")
        return torch.device("cpu")
    here, count = local_rank(), torch.cuda.device_count()
    if count == 1:  # a process that SLURM shows its own GPU alone
        return torch.device("cuda", 0)
    if here >= count:
        raise UserError(
            f"LOCAL_RANK={here}, and torch sees {count} GPUs here: start a process a GPU, or show "
            "each process its own (srun --gpus-per-task=1)"
        )
    return torch.device("cuda", here)


def keep_launch_order(parallel: Parallel) -> None:
    """Before CUDA starts: kernels start in the order of their launches.

    Overlap of tensor- and context-parallel communication counts on it before Blackwell.
    """
    if parallel.tensor > 1 or parallel.context > 1:
        os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")


def allow_only_deterministic(device: torch.device) -> None:
    """Before the first kernel: what makes Transformer Engine and cuBLAS repeat themselves.

    Megatron-Core refuses `deterministic_mode` on a GPU without the first of the two.
    """
    torch.use_deterministic_algorithms(True)
    if device.type == "cuda":
        os.environ["NVTE_ALLOW_NONDETERMINISTIC_ALGO"] = "0"
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def prepare_megatron(device: torch.device) -> None:
    """Make the loaded Megatron-Core modules run on `device`."""
    if device.type == "cpu":
        from geo_nemo.runtime import cpu

        cpu.install()
    else:
        torch.cuda.set_device(device)
