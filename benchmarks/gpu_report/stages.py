"""What is run on the GPU, in the order of what would stop the rest; each with a time limit."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gpu_report.summary import MACHINE

ROOT = Path(__file__).parents[2]
PROBE = "benchmarks.gpu_report.probe"
NO_CURVES = "not stays_beside and not moments"
# Of Megatron-Core's and Transformer Engine's own; the machine's torch and CUDA are behind them.
BUILD = {"MAX_JOBS": "16", "NVTE_FRAMEWORK": "pytorch", "NVTE_CUDA_ARCHS": "90"}


@dataclass(frozen=True)
class Stage:
    """command: argv. seconds: after which it is stopped. needs: seconds that must be left for it.

    emulated: argv of the dry form instead; None where it has none, with the reason in `left_out`.
    """

    name: str
    command: tuple[str, ...]
    seconds: int
    needs: int = 15
    environment: dict[str, str] = field(default_factory=dict)
    emulated: tuple[str, ...] | None = None
    left_out: str = "it has no emulated form"


def _python(*words: str) -> tuple[str, ...]:
    return (sys.executable, *words)


def _tests(*words: str) -> tuple[str, ...]:
    # No -q: it is the project's own setting, and twice it leaves out how many passed.
    return _python("-m", "pytest", "-rfEsP", "-p", "no:cacheprovider", *words)


def stages(folder: Path, site: Path, out: Path) -> Iterator[Stage]:
    """folder: what `prepare` made. site: where packages go. out: results."""
    wheels = sorted(map(str, (folder / "wheels").glob("*.whl")))
    sources = sorted(map(str, (folder / "sources").glob("*.tar.gz")))
    install = _python("-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile",
                      "--target", str(site))  # fmt: skip
    yield Stage("packages", (*install, *wheels), 60, left_out="they are installed")
    yield Stage(
        "build", (*install, "--no-build-isolation", *sources), 240, environment=BUILD,
        left_out="kernels are in plain PyTorch",
    )  # fmt: skip
    machine = _python("-m", PROBE, "machine")
    yield Stage(MACHINE, machine, 30, emulated=machine)
    yield Stage("doctor", _python("-m", "geo_nemo", "doctor", "--output", str(out)), 60,
                emulated=_python("-m", "geo_nemo", "doctor", "--output", str(out)))  # fmt: skip
    linear = _python("-m", PROBE, "linear")
    yield Stage("one layer, each recipe", linear, 60, emulated=linear)
    attention = _python("-m", PROBE, "attention")
    debug = {"NVTE_DEBUG": "1", "NVTE_DEBUG_LEVEL": "2"}
    yield Stage("attention", attention, 40, environment=debug, emulated=attention)
    fixed = {**debug, "NVTE_ALLOW_NONDETERMINISTIC_ALGO": "0"}
    yield Stage("attention, deterministic", attention, 40, environment=fixed, emulated=attention)
    model = _tests("tests/gpu/test_model.py")
    yield Stage("model", model, 90, emulated=_tests("tests/gpu/test_model.py", "-k", "loss"))
    yield Stage("FP8", _tests("tests/gpu/test_fp8.py", "-k", NO_CURVES), 90,
                emulated=_tests("tests/gpu/test_fp8.py", "-k", "start_where"))  # fmt: skip
    yield Stage("memory and speed", _tests("tests/gpu/test_memory_and_speed.py"), 90,
                left_out="memory and speed are not those of a GPU")  # fmt: skip
    speed = _python("-m", "benchmarks", "gpu", "--quick", "--json", str(out / "gpu.json"))
    yield Stage("speed", speed, 120, left_out="speed is not that of a GPU")
    checkpoint = _tests("tests/gpu/test_checkpoint.py")
    yield Stage("checkpoint", checkpoint, 45, emulated=checkpoint)
    yield Stage("resume", _tests("tests/gpu/test_resume.py", "-k", "every_bit and bf16"), 60,
                left_out="it takes minutes on the emulated device")  # fmt: skip
    yield Stage("curves", _tests("tests/gpu/test_fp8.py", "-k", "stays_beside"), 150, needs=90,
                left_out="it takes hours on the emulated device")  # fmt: skip


def environment(site: Path, root: Path, dry: bool) -> dict[str, str]:
    """Of every stage. Without a network, and with what was installed before this checkout."""
    before = os.environ.get("PYTHONPATH", "")
    paths = [str(root), before] if dry else [str(site), str(root), before]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline",
    }  # fmt: skip
