"""Megatron-Bridge's pretrain with our dataset provider, model and forward step equals our trainer.

GEO_NEMO_BRIDGE is a folder with Megatron-Bridge, its megatron-core and what it imports, which stand
before those of the environment: 0.3.1 in make test-nemo, 0.6 in make test-bridge.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nemo.small import STEPS, small_run

ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("GEO_NEMO_BRIDGE")
pytestmark = pytest.mark.skipif(not FOLDER, reason="Megatron-Bridge: make test-nemo, test-bridge")
# Bridge prints seven digits of a loss between 1 and 10, and has it from a sum in fp32, which it
# divides in fp32: half a unit of the last place for each of the two.
PRINTED, ROUNDED = 0.5e-6, 2.0**-23


def pretrain(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tests.nemo.bridge_worker", *words],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(FOLDER).resolve()),
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def losses(done: subprocess.CompletedProcess) -> dict[int, float]:
    found = re.findall(r"iteration +(\d+)/.*?lm loss: (\S+)", done.stdout + done.stderr)
    return {int(step): float(loss) for step, loss in found}


def test_losses_are_our_trainer_s_after_a_restart_and_through_the_cooldown(
    small_store, own_losses, tmp_path
):
    settings = small_run(small_store, tmp_path / "run")
    stopped, done = pretrain("--stop-after-3", *settings), pretrain(*settings)
    assert (stopped.returncode, done.returncode) == (0, 0), stopped.stderr + done.stderr
    first, second = losses(stopped), losses(done)
    assert (list(first), list(second)) == ([1, 2, 3], list(range(4, STEPS + 1)))
    seen = [*first.values(), *second.values()]
    apart = PRINTED + max(own_losses) * ROUNDED
    assert seen == pytest.approx(own_losses, rel=0, abs=apart)
    other = pretrain(*small_run(small_store, tmp_path / "run", "stages.cooldown.fraction=0.25",
                                "stages.condition.fraction=0.75"))  # fmt: skip
    assert other.returncode != 0
    assert "run/bridge was made with other settings: stages.condition" in other.stderr


def test_another_loss_rule_is_refused(small_store, tmp_path):
    done = pretrain("--inexact", *small_run(small_store, tmp_path / "run"))
    assert done.returncode != 0
    assert "UserError: calculate_per_token_loss is False" in done.stderr
