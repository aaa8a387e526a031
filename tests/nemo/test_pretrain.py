"""NeMo's llm.pretrain with our data module, loss, learning rate and cooldown equals our trainer."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.nemo.small import STEPS, small_run

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(find_spec("nemo") is None, reason="NeMo 2: make test-nemo")
# NeMo is given the mean as fp32, so it is rounded once, by half an ulp at most; the rest is the
# same arithmetic in the same order.
ROUNDING = 2.0**-24
# Processes that wait for each other are a failure, not a test that never ends.
LONGEST_S = 300


def python(processes: int) -> list[str]:
    """The command that runs a module in so many processes."""
    if processes == 1:
        return [sys.executable, "-m"]
    torchrun = "torch.distributed.run --standalone --nproc-per-node"
    return [sys.executable, "-m", *torchrun.split(), str(processes), "-m"]


def pretrain(
    losses: Path, settings: list[str], die_at: int = -1, processes: int = 1
) -> tuple[int, str]:
    """Run pretrain_worker.py, which imports for half a minute; exit code and end of its output."""
    output = losses.with_suffix(".log")
    module = "tests.nemo.pretrain_worker"
    with output.open("w") as log:
        worker = subprocess.Popen(
            [*python(processes), module, losses, str(die_at), *settings],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = worker.wait(LONGEST_S)
        finally:
            # The process that writes checkpoints outlives one that dies.
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
    return code, output.read_text()[-3000:]


def read(losses: Path) -> list[tuple[int, float]]:
    lines = (line.split() for line in losses.read_text().splitlines())
    return [(int(step), float(loss)) for step, loss in lines]


def test_losses_are_our_trainer_s_through_the_cooldown(small_store, own_losses, tmp_path):
    code, said = pretrain(tmp_path / "losses", small_run(small_store, tmp_path / "run"))
    assert code == 0, said
    seen = read(tmp_path / "losses")
    assert [step for step, _ in seen] == list(range(STEPS))
    assert [loss for _, loss in seen] == pytest.approx(own_losses, rel=ROUNDING, abs=0)
    assert seen[-1][1] < seen[0][1] - 0.3


def test_a_killed_run_goes_on_from_nemo_s_checkpoint(small_store, own_losses, tmp_path):
    settings = small_run(small_store, tmp_path / "run")
    code, said = pretrain(tmp_path / "first", settings, die_at=6)
    assert code == 9, said
    assert [step for step, _ in read(tmp_path / "first")] == list(range(6))
    code, said = pretrain(tmp_path / "second", settings)
    assert code == 0, said
    seen = read(tmp_path / "second")
    assert [step for step, _ in seen] == [4, 5, 6, 7]
    assert [loss for _, loss in seen] == pytest.approx(own_losses[4:], rel=ROUNDING, abs=0)


LAYOUTS = {
    "data parallel": [],
    "tensor parallel": ["parallel.tensor=2", "parallel.sequence_parallel=true"],
    "pipeline": ["parallel.pipeline=2", "train.micro_batch_size=1"],
    "context parallel": ["parallel.context=2"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_have_the_losses_of_our_two(small_store, tmp_path, layout):
    ours = small_run(small_store, tmp_path / "ours", *LAYOUTS[layout])
    command = [*python(2), "geo_nemo", "train", *ours]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (tmp_path / "ours" / "metrics.jsonl").read_text().splitlines()
    expected = [line["loss"] for line in map(json.loads, lines) if "loss" in line]

    settings = small_run(small_store, tmp_path / "run", *LAYOUTS[layout])
    code, said = pretrain(tmp_path / "losses", settings, processes=2)
    assert code == 0, said
    seen = read(tmp_path / "losses")
    assert [step for step, _ in seen] == list(range(STEPS))
    assert [loss for _, loss in seen] == pytest.approx(expected, rel=ROUNDING, abs=0)
