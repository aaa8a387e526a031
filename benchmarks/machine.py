"""Facts of the machine that a measurement was made on."""

import importlib.util
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NOT_INSTALLED = "not installed"
PACKAGES = ("numpy", "pyarrow", "tokenizers", "torch", "transformers")


def machine_facts() -> dict[str, str | int]:
    """Processor, usable cores, memory, Python and libraries that matter."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30),
        "os": platform.platform(aliased=True, terse=True),
        "python": platform.python_version(),
    } | {name: installed(name) or "none" for name in PACKAGES}


def installed(distribution: str) -> str | None:
    """The version of an installed distribution; None where it is not there."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def reason_against(module: str) -> str:
    """Why a peer that needs `module` cannot run; empty where it is installed."""
    return "" if importlib.util.find_spec(module) else NOT_INSTALLED


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
