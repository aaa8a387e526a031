"""One small run under SIGKILLs at random moments of its processes' lives: `make test-kills`.

Each process is killed either in its start-up (imports, search for the newest whole checkpoint,
loading) or in training, where a checkpoint begins at every step; when, is drawn from a generator
that GEO_NEMO_KILLS_SEED seeds. GEO_NEMO_KILLS is their number.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.e2e.test_kill_and_resume import SETTINGS, metrics, timeless, weights

KILLS = int(os.environ.get("GEO_NEMO_KILLS", "0"))
SEED = int(os.environ.get("GEO_NEMO_KILLS_SEED", "1"))
# A life in training ends within four steps, of which the last may be lost: the run outlasts them.
STEPS_A_LIFE = 4
STEPS = 24 + STEPS_A_LIFE * KILLS
CHANGES = (f"train.steps={STEPS}", "checkpoint.every_steps=1")
PATIENCE_S = 120

pytestmark = [
    pytest.mark.very_slow,
    pytest.mark.skipif(not KILLS, reason="for make test-kills"),
]


@dataclass(frozen=True)
class Life:
    """Seconds of an undisturbed process. start_up: until it trains. step: from one to the next."""

    start_up: float
    step: float


def sessions(output: Path) -> float:
    """Changes when a process has found its checkpoint and begins to train."""
    try:
        return (output / "run.json").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def start(store: Path, output: Path) -> subprocess.Popen:
    """A process that imports all it needs, in which it may be killed, too."""
    command = [sys.executable, "-m", "geo_nemo", "train", *SETTINGS, *CHANGES]
    command += [f"data.store={store}", f"output_dir={output}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for_training(process: subprocess.Popen, output: Path, before: float) -> None:
    """Return when the process begins to train, or has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while sessions(output) == before and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not begin"
        time.sleep(0.001)


def undisturbed_life(store: Path, output: Path) -> Life:
    """Run to the end, and take the time."""
    begin = time.monotonic()
    process = start(store, output)
    wait_for_training(process, output, 0)
    trains = time.monotonic()
    _, errors = process.communicate(timeout=PATIENCE_S + 10 * STEPS)
    assert process.returncode == 0, errors[-2000:]
    return Life(trains - begin, (time.monotonic() - trains) / STEPS)


def kill(store: Path, output: Path, life: Life, rng: random.Random) -> str:
    """Start a process and kill it; what it was at."""
    in_training, moment = rng.random() < 0.5, rng.random()
    before = sessions(output)
    process = start(store, output)
    if in_training:
        wait_for_training(process, output, before)
        time.sleep(moment * life.step * STEPS_A_LIFE)
    else:
        time.sleep(moment * life.start_up)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL, (
        f"a process ended by itself with {process.returncode}: {errors[-2000:]}"
    )
    assert "is not whole" not in errors
    if sessions(output) == before:
        return "start-up"
    saving = list((output / "checkpoints").glob("step_*.partial"))
    return "training, a save unfinished" if saving else "training"


def test_the_run_ends_bit_for_bit_like_one_that_was_never_killed(
    tiny_store, tmp_path, single_process
):
    from geo_nemo.train.checkpoint.load import newest, read_position

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    life = undisturbed_life(tiny_store, whole)
    rng = random.Random(SEED)
    places = Counter(kill(tiny_store, killed, life, rng) for _ in range(KILLS))
    reached = metrics(killed)[-1]["step"] + 1 if metrics(killed) else 0
    process = start(tiny_store, killed)
    _, errors = process.communicate(timeout=PATIENCE_S + 10 * STEPS)
    assert process.returncode == 0, errors[-2000:]
    assert "is not whole" not in errors

    seen, expected = metrics(killed), metrics(whole)
    assert [line["step"] for line in seen] == list(range(STEPS))
    # With a digest of each step's batch: nothing was read twice or left out.
    for here, there in zip(seen, expected, strict=True):
        assert timeless(here) == timeless(there)
    here, there = (read_position(newest(run / "checkpoints")) for run in (killed, whole))
    assert here.step == STEPS
    assert (here.stage_samples, here.states["ledger"]) == (
        there.stage_samples,
        there.states["ledger"],
    )
    reference = weights(whole)
    for name, weight in weights(killed).items():
        assert torch.equal(weight, reference[name]), name
    assert places.total() == KILLS
    where = ", ".join(f"{count} in {place}" for place, count in sorted(places.items()))
    print(f"\n{KILLS} SIGKILLs (seed {SEED}): {where}; {reached} of {STEPS} steps by then")
