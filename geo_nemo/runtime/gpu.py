"""What is wrong with a GPU, or with the software for it: a line each, for `doctor` and `train`.

The words of CUDA, torch and Transformer Engine are read for what a user can do. Functions of facts
stand first, so that they can be tried without the fault.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from geo_nemo.common.log import logger
from geo_nemo.config import UserError
from geo_nemo.runtime.engine_versions import (
    LEAST_DRIVER,
    TRANSFORMER_ENGINES,
    transformer_engine_version,
)

LOG = logger(__name__)

# What this process's own context takes is less.
OTHERS_BYTES = 2 << 30
GIB = 1 << 30
_NO_CODE = ("no kernel image", "invalid device function", "named symbol not found")


@dataclass(frozen=True, slots=True)
class Trouble:
    """text: what is wrong. mend: what a user can do about it."""

    text: str
    mend: str

    def __str__(self) -> str:
        return f"{self.text}; {self.mend}"


@dataclass(frozen=True, slots=True)
class Sight:
    """Facts of a process that torch shows no GPU.

    cuda: what torch is built for, such as 13.0; None: for CPUs. visible: CUDA_VISIBLE_DEVICES, None
    where it is not set. has_nodes: whether the machine has /dev/nvidia0. error: what CUDA said when
    it was asked to start.
    """

    cuda: str | None
    visible: str | None
    has_nodes: bool
    error: str


def sight() -> Sight:
    """The facts of this process; CUDA is asked to start."""
    error = ""
    if torch.version.cuda is not None:
        try:
            torch.cuda.init()
        except Exception as raised:
            error = one_line(raised)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return Sight(torch.version.cuda, visible, Path("/dev/nvidia0").exists(), error)


def no_gpu(seen: Sight) -> Trouble:
    """Why torch shows none."""
    if seen.cuda is None:
        return Trouble("this torch is built for CPUs alone", "install a CUDA build of torch")
    if "too old" in seen.error:
        least = LEAST_DRIVER.get(int(seen.cuda.partition(".")[0]), max(LEAST_DRIVER.values()))
        found = re.search(r"found version (\d+)", seen.error)
        runs = f", and runs CUDA {int(found[1]) // 1000} at most" if found else ""
        return Trouble(
            f"the driver is too old for this torch, which is built for CUDA {seen.cuda}{runs}",
            f"update it to {least} or newer, or use a container of its time (docs/containers.md)",
        )
    if "802" in seen.error or "not yet initialized" in seen.error:
        return Trouble(
            "CUDA says that the system is not yet initialized: NVSwitch has no fabric manager",
            "start nvidia-fabricmanager of the driver's version",
        )
    if "no NVIDIA driver" in seen.error:
        if seen.has_nodes:
            return Trouble(
                "the machine has a GPU, and its driver's libraries are not in this container",
                "start it with --gpus all (docker), --nv (Apptainer) or pyxis's GPU hook",
            )
        return Trouble("this machine has no NVIDIA driver", "start it on a machine with a GPU")
    if seen.visible is not None:
        return Trouble(
            f"CUDA_VISIBLE_DEVICES={seen.visible!r} shows none of this machine's GPUs",
            "unset CUDA_VISIBLE_DEVICES, or name what nvidia-smi -L lists",
        )
    if seen.has_nodes:
        return Trouble(
            f"the driver is there and shows no device ({seen.error or 'no reason given'})",
            "look at nvidia-smi; in a job ask for GPUs (srun --gpus-per-task=1)",
        )
    return Trouble("this machine shows no GPU", "start it on a machine with one")


def engine_trouble(error: BaseException, engine: str | None, cuda: str | None) -> Trouble:
    """Why Transformer Engine does not import. engine: its version. cuda: torch's."""
    said = one_line(error)
    major = (cuda or "13").partition(".")[0]
    whole = (
        f"pip install --no-build-isolation 'transformer-engine[pytorch,core_cu{major}]"
        f"{TRANSFORMER_ENGINES}', or use NVIDIA's PyTorch container"
    )
    if engine is None:
        return Trouble(f"Transformer Engine is not installed ({said})", whole)
    name = f"Transformer Engine {engine}"
    if "undefined symbol" in said or "cannot open shared object" in said:
        again = "pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps "
        return Trouble(
            f"{name} was built for another torch or CUDA than this one's ({said})",
            f"build it again beside this torch: {again}transformer-engine-torch=={engine}",
        )
    if "mismatch" in said:
        return Trouble(f"{name} has parts of other versions ({said})", whole)
    return Trouble(f"{name} does not import ({said})", whole)


def kernel_trouble(
    whose: str, error: BaseException, name: str, capability: tuple[int, int]
) -> Trouble:
    """Why a first kernel of torch or Transformer Engine (`whose`) failed on a GPU of this name."""
    said, chip = one_line(error), "sm_{}{}".format(*capability)
    if any(words in said for words in _NO_CODE):
        mend = (
            f"install a torch whose torch.cuda.get_arch_list() has {chip}"
            if whose == "torch"
            else "install its whole core library, or one that is pruned for this chip (docs/gpu.md)"
        )
        return Trouble(f"{whose} has no code for {name} ({chip})", mend)
    if "busy or unavailable" in said:
        return Trouble(
            f"{name} is held by another process, in exclusive mode",
            "wait for it, or choose another GPU: nvidia-smi",
        )
    if "unsupported toolchain" in said:
        return Trouble(
            f"the driver is too old for the code that {whose} has for {name}", "update the driver"
        )
    return Trouble(f"a first kernel of {whose} fails on {name} ({said})", "look at nvidia-smi -q")


def others_trouble(free: int, total: int) -> Trouble | None:
    """Bytes of a GPU that other processes hold, where they are many."""
    taken = total - free
    if taken <= OTHERS_BYTES:
        return None
    return Trouble(
        f"other processes hold {taken / GIB:.1f} of its {total / GIB:.0f} GiB, and slow it down",
        "nvidia-smi shows which; end them, or choose another GPU",
    )


def mig_trouble(name: str, processes: int) -> Trouble | None:
    """A slice of a GPU, by its name. processes: of the training."""
    if "MIG " not in name:
        return None
    if processes > 1:
        return Trouble(
            f"{name} is a slice of a GPU (MIG), and NCCL does not join slices",
            "train in one process there, or on whole GPUs",
        )
    return Trouble(
        f"{name} is a slice of a GPU (MIG): MFU is not told",
        "plan for its own memory, not the whole chip's",
    )


def import_engine() -> Trouble | None:
    """Import Transformer Engine; why that fails."""
    try:
        import transformer_engine.pytorch  # noqa: F401
    except Exception as error:  # also AssertionError and OSError, of its own checks and libraries
        return engine_trouble(error, transformer_engine_version(), torch.version.cuda)
    return None


def first_kernels(device: torch.device) -> Trouble | None:
    """Compute a little with torch and with Transformer Engine, which imports; why that fails."""
    import transformer_engine.pytorch as engine

    def by_torch() -> None:
        (torch.ones(8, device=device) + 1).sum().item()

    def by_engine() -> None:
        norm = engine.RMSNorm(16, params_dtype=torch.float32, device=device)
        norm(torch.ones(16, 16, device=device)).sum().item()

    for whose, compute in (("torch", by_torch), ("Transformer Engine", by_engine)):
        try:
            compute()
        except RuntimeError as error:
            name = torch.cuda.get_device_name(device)
            return kernel_trouble(whose, error, name, torch.cuda.get_device_capability(device))
    return None


def gpu_troubles(device: torch.device, processes: int) -> tuple[list[Trouble], list[Trouble]]:
    """What keeps a training from `device`, and what it can live with."""
    fatal = import_engine() or first_kernels(device)
    name = torch.cuda.get_device_name(device)
    mig = mig_trouble(name, processes)
    others = others_trouble(*torch.cuda.mem_get_info(device))
    bad = [each for each in (fatal, mig if processes > 1 else None) if each]
    return bad, [each for each in (mig if processes == 1 else None, others) if each]


def check_gpu(device: torch.device, processes: int) -> None:
    """At a training's start: `UserError` for what keeps it from a GPU, a warning for the rest."""
    if device.type != "cuda":
        return
    bad, bearable = gpu_troubles(device, processes)
    if bad:
        raise UserError(f"GPU {device.index or 0}: {bad[0]}")
    for each in bearable:
        LOG.warning(f"GPU {device.index or 0}: {each}")


def one_line(error: BaseException) -> str:
    """What it says, without its kind where that says nothing, at most 200 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
