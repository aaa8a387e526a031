"""Compares the software and the GPUs here with what geo_nemo needs."""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from geo_nemo.common.findings import Finding
from geo_nemo.runtime.apex import check_apex
from geo_nemo.runtime.engine_versions import LEAST_DRIVER, TRANSFORMER_ENGINES

DISTRIBUTION = "geo-nemo"
# What is looked at though nothing requires it: name, versions known to fit, what it is for.
OPTIONAL = (
    (
        "transformer-engine",
        TRANSFORMER_ENGINES,
        "layers, attention inside documents and FP8 on a GPU; not needed on a CPU",
    ),
    ("nemo-toolkit", "==2.7.3", "only for use from NeMo 2"),
    ("nemo-run", ">=0.11,<0.12", "only for use from NeMo-Run"),
    ("megatron-bridge", ">=0.3.1,<0.7,!=0.4.*,!=0.5.*", "only for use from Megatron-Bridge"),
)
# Other trainers that go with one megatron-core alone (docs/containers.md). NVIDIA's NeMo containers
# hold both, and their megatron-core may be of neither.
MEGATRON_OF = (
    ("nemo-toolkit", ">=0", "==0.15.3"),
    ("megatron-bridge", "<0.6", "==0.16.1"),
    ("megatron-bridge", ">=0.6", "==0.19.2"),
)
# 8.9 is Ada, 9.0 Hopper: the first with FP8 tensor cores. 8.0 is Ampere, the first with bf16.
FP8_CAPABILITY = (8, 9)
BF16_CAPABILITY = (8, 0)


def check_software() -> Iterator[Finding]:
    """Python, packages, Megatron-Core on this machine, and the GPUs."""
    yield from check_packages()
    yield check_apex()
    yield from check_torch()
    yield from check_megatron()


def check_packages(
    version_of: Callable[[str], str] = metadata.version,
    requires_of: Callable[[str], list[str] | None] = metadata.requires,
    python: str | None = None,
    python_range: Callable[[], str] | None = None,
) -> Iterator[Finding]:
    """Python and every required package against the ranges in geo_nemo's own metadata.

    version_of, requires_of, python, python_range: the installed ones by default.
    """
    python = python or platform.python_version()
    try:
        required = requires_of(DISTRIBUTION) or []
        wanted = (python_range or _python_range)()
    except metadata.PackageNotFoundError:
        yield Finding(
            "packages",
            "note",
            f"Python {python}; {DISTRIBUTION} is not installed, so its ranges are unknown",
            "pip install -e . in the checkout",
        )
        return
    fits = SpecifierSet(wanted).contains(python, prereleases=True)
    mend = "" if fits else f"make the environment anew with a Python {wanted}"
    yield Finding("python", "ok" if fits else "problem", f"{python}, needs {wanted}", mend)
    found = []
    for line in required:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            finding = _required(requirement, version_of)
            found.append(finding)
    bad = [finding for finding in found if finding.level != "ok"]
    if not bad:
        yield Finding("packages", "ok", f"{len(found)} required packages are in their ranges")
    yield from bad
    for name, versions, purpose in OPTIONAL:
        yield _optional(name, versions, purpose, version_of)
    yield from _pairs(version_of)


def check_torch() -> Iterator[Finding]:
    """The build of torch, and each GPU that it sees."""
    try:
        import torch
    except Exception as error:
        yield Finding(
            "torch", "problem", f"does not import: {_line(error)}", "reinstall torch (make setup)"
        )
        return
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "for CPU only"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0 and os.path.exists("/dev/nvidia0"):
        from geo_nemo.runtime.gpu import no_gpu, sight

        why = no_gpu(sight())
        yield Finding(
            "torch",
            "problem" if torch.version.cuda else "note",
            f"{torch.__version__}, built {built}: it sees no GPU, though this machine has one: "
            f"{why.text}",
            f"{why.mend}, or give device=cpu",
        )
        return
    yield Finding("torch", "ok", f"{torch.__version__}, built {built}")
    if torch.version.cuda:
        yield from check_engine_cuda(torch.version.cuda)
    if count == 0:
        yield Finding("gpu", "note", "none: training and evaluation run on the CPU")
    for index in range(count):
        properties = torch.cuda.get_device_properties(index)
        yield gpu_finding(
            index,
            properties.name,
            (properties.major, properties.minor),
            properties.total_memory,
        )
    if count:
        yield check_driver(cuda=torch.version.cuda)
        yield _nccl()
        yield from check_gpus(count)


def check_engine_cuda(
    cuda: str, version_of: Callable[[str], str] = metadata.version
) -> Iterator[Finding]:
    """The CUDA that Transformer Engine's wheels are built for against torch's, such as 13.0.

    Nothing where there is none of its wheels: one that was built here was built for the CUDA here.
    """
    major = int(cuda.partition(".")[0])
    built = {}
    for other in LEAST_DRIVER:
        with suppress(metadata.PackageNotFoundError):
            built[other] = version_of(f"transformer-engine-cu{other}")
    wrong = [other for other in built if other != major]
    if wrong:
        yield Finding(
            "transformer-engine's CUDA",
            "problem",
            f"transformer-engine-cu{wrong[0]} {built[wrong[0]]} is built for CUDA {wrong[0]}, and "
            f"torch for {cuda}",
            f"pip uninstall transformer-engine-cu{wrong[0]}; pip install --no-build-isolation "
            f"'transformer-engine[pytorch,core_cu{major}]{OPTIONAL[0][1]}'",
        )
    elif built:
        text = f"{major}, as torch's {cuda}: transformer-engine-cu{major} {built[major]}"
        yield Finding("transformer-engine's CUDA", "ok", text)


def gpu_finding(index: int, name: str, capability: tuple[int, int], memory: int) -> Finding:
    """What one GPU can do. capability: major, minor. memory: bytes."""
    fp8, bf16 = capability >= FP8_CAPABILITY, capability >= BF16_CAPABILITY
    text = (
        f"{name}, compute capability {capability[0]}.{capability[1]}, {memory / 2**30:.0f} GiB, "
        f"bf16 {'yes' if bf16 else 'no'}, FP8 {'yes' if fp8 else 'no'}"
    )
    if not bf16:
        return Finding(
            f"gpu {index}", "note", text, "give precision=fp32: bf16 is emulated before 8.0"
        )
    return Finding(f"gpu {index}", "ok", text)


def check_driver(version_of: Callable[[], str] | None = None, cuda: str | None = None) -> Finding:
    """The driver's version, and whether it is one for the CUDA that torch is built for.

    version_of: tells it, or raises OSError or SubprocessError; nvidia-smi by default. cuda: such as
        13.0; None: the least one that is known.
    """
    try:
        version = (version_of or _driver_version)()
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "driver",
            "note",
            f"nvidia-smi tells no version: {_line(error)}",
            "check the driver: nvidia-smi",
        )
    branch = version.partition(".")[0]
    major = int((cuda or str(min(LEAST_DRIVER))).partition(".")[0])
    least = LEAST_DRIVER.get(major, max(LEAST_DRIVER.values()))
    if branch.isdecimal() and int(branch) < least:
        return Finding(
            "driver",
            "note",
            f"{version}: CUDA {major} needs {least} or newer, or NVIDIA's compatibility package",
            "update the driver, or use a container of its time (docs/containers.md)",
        )
    return Finding("driver", "ok", version)


def _driver_version() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()[0] if done.stdout.split() else "?"


def _nccl() -> Finding:
    import torch

    try:
        found = torch.cuda.nccl.version()
    except Exception as error:
        return Finding(
            "nccl",
            "problem",
            f"torch has none: {_line(error)}",
            "install a CUDA build of torch from PyTorch or NVIDIA",
        )
    return Finding(
        "nccl", "ok", f"{'.'.join(map(str, found))} (geo-nemo allreduce measures a job's links)"
    )


def check_megatron() -> Iterator[Finding]:
    """Whether Megatron-Core imports and the CPU runtime fits the version that is here."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from geo_nemo.runtime import cpu

            cpu.install()
    except Exception as error:
        yield Finding(
            "megatron-core",
            "problem",
            f"the CPU runtime does not fit it: {_line(error)}",
            "install the versions of constraints.txt (make setup)",
        )
        return
    yield Finding("megatron-core", "ok", "imports, and the CPU runtime installs")


def _required(requirement: Requirement, version_of: Callable[[str], str]) -> Finding:
    mend = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = version_of(requirement.name)
    except metadata.PackageNotFoundError:
        text = f"absent, needs {requirement.specifier or 'any version'}"
        return Finding(requirement.name, "problem", text, mend)
    if not requirement.specifier.contains(version, prereleases=True):
        text = f"{version}, needs {requirement.specifier}"
        return Finding(requirement.name, "problem", text, mend)
    return Finding(requirement.name, "ok", version)


def _optional(name: str, versions: str, purpose: str, version_of: Callable[[str], str]) -> Finding:
    try:
        version = version_of(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "note", f"absent: {purpose}")
    if not SpecifierSet(versions).contains(version, prereleases=True):
        text = f"{version}, and geo_nemo was written for {versions}: {purpose}"
        return Finding(name, "note", text, f"pip install '{name}{versions}'")
    return Finding(name, "ok", f"{version}: {purpose}")


def _pairs(version_of: Callable[[str], str]) -> Iterator[Finding]:
    """Trainers beside another megatron-core than theirs: they may fail where they begin."""
    for name, of, versions in MEGATRON_OF:
        try:
            trainer, engine = version_of(name), version_of("megatron-core")
        except metadata.PackageNotFoundError:
            continue
        if not SpecifierSet(of).contains(trainer, prereleases=True):
            continue
        if not SpecifierSet(versions).contains(engine, prereleases=True):
            yield Finding(
                f"megatron-core for {name}",
                "note",
                f"{engine}, and {name} {trainer} was run with {versions[2:]} alone",
                f"pip install 'megatron-core{versions}' in an environment for {name}",
            )


def check_gpus(count: int) -> Iterator[Finding]:
    """Transformer Engine's import, and a first kernel on each GPU."""
    import torch

    from geo_nemo.runtime.gpu import gpu_troubles, import_engine

    if trouble := import_engine():
        mend = f"{trouble.mend}; or give device=cpu"
        yield Finding("transformer-engine", "problem", trouble.text, mend)
        return
    yield Finding("transformer-engine", "ok", "imports")
    for index in range(count):
        bad, bearable = gpu_troubles(torch.device("cuda", index), 1)
        for level, troubles in (("problem", bad), ("note", bearable)):
            for each in troubles:
                yield Finding(f"gpu {index}", level, each.text, each.mend)
        if not bad:
            yield Finding(
                f"gpu {index}", "ok", "a first kernel of torch and of Transformer Engine ran"
            )


def _python_range() -> str:
    return metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
