"""`geo-nemo launch --tune` under a real SLURM: preempted, requeued, and gone on to its end.

make test-slurm     (as root; see tests/slurm/real.py; with TRL and PEFT of make test-tune)
"""

import json
import shlex
import subprocess
import sys

import pytest

pytest.importorskip("trl", reason="make test-tune installs it")
pytest.importorskip("peft", reason="make test-tune installs it")

from tests.slurm.test_real_slurm import at_once
from tests.support.exports import alpaca, write_export, write_jsonl
from tests.unit.slurm.fake_cluster import ROOT

# A quick machine must not have taken them all before another job takes its nodes.
STEPS = 400


def test_a_preempted_tuning_on_two_nodes_saves_is_requeued_and_goes_on(slurm, tiny_store):
    home = slurm.folder / "tuning"
    home.mkdir()
    model = write_export(home / "model", tiny_store)
    data = write_jsonl(home / "data.jsonl", alpaca(48))
    out = home / "out"
    launched = subprocess.run(
        [
            sys.executable, "-m", "geo_nemo", "launch", "--tune", str(model), f"data={data}",
            f"output={out}", "slurm=cpu", "slurm.nodes=2", "slurm.cpus_per_task=1",
            "slurm.memory=900M", "slurm.time=25", "slurm.checks=[node]", "slurm.min_free_gb=0",
            f"slurm.command={shlex.quote(shlex.join([sys.executable, '-m', 'geo_nemo']))}",
            f"steps={STEPS}", "save_every_steps=1000", "log_every_steps=1", "device=cpu",
            "global_batch_size=4",
        ],
        env={**slurm.environment, "PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr
    name, number = launched.stdout.split()
    assert name == "tune" and not out.exists()
    metrics = home / "out.partial/metrics.jsonl"
    log = home / f"out.job/slurm/tune-{number}.out"
    slurm.wait(metrics.is_file, f"no step: {log}", seconds=240)
    slurm(
        "sbatch", "--parsable", "--nodes=2", "--partition=high", "--exclusive",
        "--output=/dev/null", "--wrap", "sleep 1",
    )  # fmt: skip
    at_once(slurm, number)
    ended = slurm.wait_for_end(number, seconds=420)
    assert ended["JobState"] == "COMPLETED", log.read_text()
    assert ended["Restarts"] == "1"
    said = log.read_text()
    assert "stopped by SIGTERM at step" in said and "The same command goes on from there" in said
    trained = json.loads((out / "tune.json").read_text())["trained"]
    assert trained["steps"] == STEPS and trained["processes"] == 2
    verdict = home / f"out.job/slurm/{number}/1/verdict"
    assert verdict.read_text() == "finished\n"
    steps = [json.loads(line)["step"] for line in (home / "out/metrics.jsonl").open()]
    # No step was lost: the last one of the first start is followed by the next.
    assert steps == sorted(set(steps)) and steps[-1] == STEPS
