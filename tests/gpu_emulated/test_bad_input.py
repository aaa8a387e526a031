"""What is wrong with a GPU's software is a line, by the command itself on the emulated device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.command import SMALL

ROOT = Path(__file__).parents[2]
NO_IMAGE = "CUDA Error: no kernel image is available for execution on the device"


def command(*words, before=None, **environment):
    """Exit status, standard output, and what was said; `before` goes ahead on the path."""
    paths = [str(before)] if before else []
    environment["PYTHONPATH"] = os.pathsep.join([*paths, os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "geo_nemo", *map(str, words)], cwd=ROOT, capture_output=True,
        text=True, env=os.environ | environment, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def foreign(kernels, tmp_path):
    """A half of Transformer Engine that was built for another torch."""
    package = tmp_path / "foreign" / "transformer_engine_torch"
    package.mkdir(parents=True)
    said = f"{package}/transformer_engine_torch.so: undefined symbol: _ZN3c104impl"
    (package / "__init__.py").write_text(f"raise ImportError({said!r})\n")
    return package.parent


def test_a_transformer_engine_for_another_torch_is_a_line_of_the_training(
    foreign, tiny_store, tmp_path
):
    settings = [*SMALL, "train.steps=2", "train.warmup_steps=1", "device=gpu"]
    places = [f"data.store={tiny_store}", f"output_dir={tmp_path / 'run'}"]
    status, _, said = command("train", *settings, *places, before=foreign)
    assert status == 2, said
    last = said.strip().splitlines()[-1]
    assert "GPU 0: Transformer Engine 2.12.0 was built for another torch or CUDA" in last
    assert "--no-deps transformer-engine-torch==2.12.0" in last
    assert "Traceback" not in said and not (tmp_path / "run" / "checkpoints").exists()


def test_and_one_of_the_doctor(foreign, tmp_path):
    status, out, _ = command("doctor", "--output", tmp_path, "--json", before=foreign)
    found = {each["topic"]: each for each in json.loads(out)["findings"]}
    assert status == 1
    assert found["transformer-engine"]["level"] == "problem"
    assert "built for another torch" in found["transformer-engine"]["text"]


def test_the_doctor_runs_a_kernel_on_a_sound_device(kernels, tmp_path):
    _, out, _ = command("doctor", "--output", tmp_path, "--json")
    told = [each["text"] for each in json.loads(out)["findings"] if each["topic"] == "gpu 0"]
    assert any("Emulated H100, compute capability 9.0" in text for text in told)
    assert "a first kernel of torch and of Transformer Engine ran" in told


@pytest.fixture
def changed(kernels, tmp_path):
    """A folder ahead on the path, with which the device of every process is another."""

    def make(*lines):
        folder = tmp_path / "changed"
        folder.mkdir()
        start = ("import emulated_gpu", "emulated_gpu.start()", *lines, "")
        (folder / "sitecustomize.py").write_text("\n".join(start))
        return folder

    return make


SLICE = (
    "from emulated_gpu.torch_cuda import Properties, torch",
    "Properties.name = 'NVIDIA H100 80GB HBM3 MIG 1g.10gb'",
    "torch.cuda.get_device_name = lambda *device: Properties.name",
)
HELD = ("import torch", "torch.cuda.mem_get_info = lambda *device: (1 << 30, 4 << 30)")


@pytest.mark.parametrize(
    ("lines", "text"), [(SLICE, "MFU is not told"), (HELD, "other processes hold 3.0 of its 4 GiB")]
)
def test_the_doctor_tells_a_slice_of_a_gpu_and_other_processes(changed, tmp_path, lines, text):
    _, out, _ = command("doctor", "--output", tmp_path, "--json", before=changed(*lines))
    told = [each for each in json.loads(out)["findings"] if each["topic"] == "gpu 0"]
    (found,) = [each for each in told if text in each["text"]]
    assert found["level"] != "ok" and "\n" not in found["text"] + found["mend"]


def test_two_processes_on_slices_of_a_gpu_do_not_start(changed, tiny_store, tmp_path):
    places = [f"data.store={tiny_store}", f"output_dir={tmp_path / 'run'}", "device=gpu"]
    two = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1",
           "MASTER_PORT": "1"}  # fmt: skip
    settings = (*SMALL, "train.global_batch_size=16", *places)
    status, _, said = command("train", *settings, before=changed(*SLICE), **two)
    assert status == 2, said
    assert "is a slice of a GPU (MIG), and NCCL does not join slices" in said.splitlines()[-1]


def test_a_hidden_device_is_none(kernels, tiny_store, tmp_path):
    places = [f"data.store={tiny_store}", f"output_dir={tmp_path / 'run'}", "device=gpu"]
    status, _, said = command("train", *SMALL, *places, CUDA_VISIBLE_DEVICES="")
    assert status == 2
    assert "device=gpu: torch sees no GPU here: this torch is built for CPUs alone" in said


def test_a_library_without_code_for_the_chip_is_named(kernels, monkeypatch):
    from transformer_engine.pytorch.ops.basic import rmsnorm

    from geo_nemo.runtime.gpu import first_kernels, import_engine

    device = torch.device("cuda", 0)
    assert import_engine() is None and first_kernels(device) is None

    def refused(*args, **kwargs):
        raise RuntimeError(f"rmsnorm_api.cpp:85 in function rmsnorm_fwd: {NO_IMAGE}")

    monkeypatch.setattr(rmsnorm, "rmsnorm_fwd", refused)
    found = first_kernels(device)
    assert found.text == "Transformer Engine has no code for Emulated H100 (sm_90)"
