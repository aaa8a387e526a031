"""NeMo's llm.pretrain with our data module, loss, learning rate and cooldown equals our trainer."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.nemo.small import STEPS, small_run

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(find_spec("nemo") is None, reason="NeMo 2: make test-nemo")
# NeMo is given the mean as fp32, so it is rounded once, by half an ulp at most; the rest is the same
# arithmetic in the same order.
ROUNDING = 2.0**-24


def pretrain(losses: Path, settings: list[str], die_at: int = -1) -> subprocess.CompletedProcess:
    """Run pretrain_worker.py, which imports for half a minute."""
    return subprocess.run(
        [sys.executable, "-m", "tests.nemo.pretrain_worker", str(losses), str(die_at), *settings],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def read(losses: Path) -> list[tuple[int, float]]:
    lines = (line.split() for line in losses.read_text().splitlines())
    return [(int(step), float(loss)) for step, loss in lines]


def test_losses_are_our_trainer_s_through_the_cooldown(small_store, own_losses, tmp_path):
    done = pretrain(tmp_path / "losses", small_run(small_store, tmp_path / "run"))
    assert done.returncode == 0, done.stderr[-3000:]
    seen = read(tmp_path / "losses")
    assert [step for step, _ in seen] == list(range(STEPS))
    assert [loss for _, loss in seen] == pytest.approx(own_losses, rel=ROUNDING, abs=0)
    assert seen[-1][1] < seen[0][1] - 0.3


def test_a_killed_run_goes_on_from_nemo_s_checkpoint(small_store, own_losses, tmp_path):
    settings = small_run(small_store, tmp_path / "run")
    assert pretrain(tmp_path / "first", settings, die_at=6).returncode == 9
    assert [step for step, _ in read(tmp_path / "first")] == list(range(6))
    done = pretrain(tmp_path / "second", settings)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = read(tmp_path / "second")
    assert [step for step, _ in seen] == [4, 5, 6, 7]
    assert [loss for _, loss in seen] == pytest.approx(own_losses[4:], rel=ROUNDING, abs=0)
