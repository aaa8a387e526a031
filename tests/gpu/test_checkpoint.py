"""A checkpoint that a GPU wrote, read by the CPU path in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.tiny import tiny_run

ROOT = Path(__file__).parents[2]
# Of -log p, in nats, in fp32 on both sides: see test_model.py.
TOLERANCE = 4e-5
SCORE = """
import json, sys
import numpy as np
from geo_nemo.config import Run
from geo_nemo.export.scorer import load_scorer
from geo_nemo.train.setup import prepare

record = json.load(open(sys.argv[1] + "/run.json"))
scorer = load_scorer(sys.argv[1], device="cpu")
prepared = prepare(Run.model_validate(record["config"]), 1)
rows = prepared.dataset(prepared.stages[0])
np.save(sys.argv[2], np.stack([scorer.nll(rows[i]) for i in range(4)]))
"""


@pytest.fixture
def trained(gpu, tiny_store, tmp_path):
    """Folder of a finished run on the GPU, and its trainer."""
    from geo_nemo.train.loop import Trainer
    from geo_nemo.train.run_record import write_record
    from geo_nemo.train.setup import prepare

    run = tiny_run(tiny_store, tmp_path / "run", device="gpu")
    prepared = prepare(run, world_size=1)
    (tmp_path / "run").mkdir()
    write_record(prepared, world_size=1)
    trainer = Trainer(prepared, gpu)
    assert trainer.fit()
    return tmp_path / "run", trainer


def test_the_cpu_gives_a_checkpoint_of_the_gpu_the_same_losses(trained, tmp_path):
    from geo_nemo.data.batches import stack_sequences
    from tests.gpu.models import packed_nll

    folder, trainer = trained
    sequences = trainer.prepared.dataset(trainer.prepared.stages[0])
    expected = torch.stack(
        [packed_nll(trainer.engine, stack_sequences([sequences[i]], [i])) for i in range(4)]
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(folder), str(tmp_path / "nll.npy")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = torch.from_numpy(np.load(tmp_path / "nll.npy")).double()
    assert (seen - expected).abs().max() < TOLERANCE


def test_a_stopped_run_on_the_gpu_goes_on_where_it_stood(gpu, tiny_store, tmp_path):
    from geo_nemo.train.loop import Trainer
    from geo_nemo.train.setup import prepare

    run = tiny_run(tiny_store, tmp_path / "run", device="gpu")
    whole = Trainer(prepare(run, world_size=1), gpu)
    assert whole.fit()
    half = tmp_path / "run" / "checkpoints" / "step_00000003"
    last = tmp_path / "run" / "checkpoints" / "step_00000006"
    assert json.loads((last / "geo_nemo.json").read_text())["step"] == 6
    assert half.is_dir()
    last.rename(tmp_path / "kept")
    again = Trainer(prepare(run, world_size=1), gpu)
    assert again.fit()
    reference = dict(whole.engine.module.named_parameters())
    for name, weight in again.engine.module.named_parameters():
        # Atomic sums in a backward pass may differ in their order: AdamW then moves a weight by a
        # fraction of the learning rate, 1e-3.
        assert (weight - reference[name]).abs().max() < 1e-4, name
