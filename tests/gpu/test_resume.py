"""Runs of the command on a GPU that stop and go on: there, and on the CPU in between."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import SMALL

ROOT = Path(__file__).parents[2]
STEPS, EVERY = 12, 4
SETTINGS = (
    *SMALL, f"train.steps={STEPS}", "train.warmup_steps=2",
    "train.micro_batch_size=4", f"checkpoint.every_steps={EVERY}",
    "checkpoint.keep_last=9", "logging.every_steps=1", "logging.batch_digest=true",
)  # fmt: skip
# Of a mean over tokens, in nats, fp32 on all sides. With the same weights no token's -log p differs
# by more than 4e-5 (test_checkpoint.py). What rounding does to weights is not carried far: another
# order of sums moves the losses of these steps by 1.4e-8 on the CPU.
TOLERANCE = 8e-5
WEIGHTS = """
import sys
import numpy as np
from geo_nemo.export.scorer import load_scorer

model = load_scorer(sys.argv[1], device="cpu").model
np.savez(sys.argv[2], **{name: weight.detach() for name, weight in model.named_parameters()})
"""


def run(*command: str, **environment: str) -> None:
    """A process of its own: deterministic kernels are chosen before the first of them runs."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def train(store: Path, output: Path, device: str, *changes: str) -> None:
    places = (f"data.store={store}", f"output_dir={output}", f"device={device}")
    run("-m", "geo_nemo", "train", *SETTINGS, *places, *changes)


def weights(output: Path, to: Path) -> dict[str, np.ndarray]:
    """Every weight of the newest checkpoint."""
    run("-c", WEIGHTS, str(output), str(to), CUDA_VISIBLE_DEVICES="")
    return dict(np.load(to))


def losses(output: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output / "metrics.jsonl").open()]


def forget_after(output: Path, step: int) -> None:
    """Leave the checkpoint of `step` as the newest, as if the run had been killed behind it."""
    assert (output / "checkpoints" / f"step_{step:08d}").is_dir()
    for later in range(step + EVERY, STEPS + 1, EVERY):
        shutil.rmtree(output / "checkpoints" / f"step_{later:08d}")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_deterministic_run_that_goes_on_is_equal_in_every_bit(
    gpu, tiny_store, tmp_path, precision
):
    chosen = ("deterministic=true", f"precision.dtype={precision}")
    output = tmp_path / "run"
    train(tiny_store, output, "gpu", *chosen)
    first, expected = losses(output), weights(output, tmp_path / "first.npz")
    forget_after(output, EVERY)
    train(tiny_store, output, "gpu", *chosen)
    again = weights(output, tmp_path / "again.npz")
    assert losses(output) == first
    assert again.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(again[name], weight, err_msg=name)


def test_from_the_gpu_to_the_cpu_and_back_the_losses_are_those_of_the_gpu(
    gpu, tiny_store, tmp_path
):
    output = tmp_path / "run"
    train(tiny_store, output, "gpu", "precision.dtype=fp32")
    expected = losses(output)
    for device, step in (("cpu", EVERY), ("gpu", 2 * EVERY)):
        forget_after(output, step)
        train(tiny_store, output, device, "precision.dtype=fp32")
    seen = losses(output)
    assert len(seen) == STEPS
    assert np.abs(np.subtract(seen, expected)).max() < TOLERANCE


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", TOLERANCE), ("bf16", 0.02)])
def test_a_run_that_began_on_the_cpu_goes_on_on_the_gpu(
    gpu, tiny_store, tmp_path, precision, tolerance
):
    """In bf16 within what its rounding moves a loss by on average (docs/gpu.md)."""
    output, dtype = tmp_path / "run", f"precision.dtype={precision}"
    train(tiny_store, output, "cpu", dtype)
    expected = losses(output)
    forget_after(output, EVERY)
    train(tiny_store, output, "gpu", dtype)
    seen = losses(output)
    assert len(seen) == STEPS
    assert np.abs(np.subtract(seen, expected)).max() < tolerance
