"""Runs on a CPU where a GPU and Transformer Engine are there too, in either order of imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The engine imports Megatron-Core, which imports Transformer Engine where the CPU's runtime has not
# kept it out yet.
ORDERS = {
    "engine first": "import geo_nemo.train.engine",
    "Transformer Engine first": "import transformer_engine.pytorch, geo_nemo.train.engine",
    "runtime first": "import geo_nemo.runtime.cpu; geo_nemo.runtime.cpu.install()",
}
STEPS = """
import json
import torch
from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import process_groups
from tests.support.batches import ragged_batches
from tests.support.tiny import tiny_run

with process_groups(Parallel(), torch.device("cpu"), seed=0):
    from geo_nemo.train.engine import Engine

    engine = Engine(tiny_run("store", "out"), 640, 3, torch.device("cpu"))
    batches = ragged_batches(seed=1, vocab_size=640, fractions=(0.9, 0.4), length=128)
    print(json.dumps([engine.train_step(batches, step).loss for step in range(3)]))
"""


def losses(first: str, **environment: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", first + STEPS],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(kernels):
    """Losses where there is neither."""
    python_path = os.pathsep.join(
        path for path in os.environ["PYTHONPATH"].split(os.pathsep) if "emulated" not in path
    )
    return losses("", CUDA_VISIBLE_DEVICES="", PYTHONPATH=python_path)


@pytest.mark.parametrize("order", ORDERS)
def test_steps_on_a_cpu_are_those_without_a_gpu(alone, order):
    assert losses(ORDERS[order]) == alone
