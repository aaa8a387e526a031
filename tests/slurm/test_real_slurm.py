"""slurm/train.sbatch under a real SLURM: preempted, requeued, resumed, cancelled, a node left out.

make test-slurm     (as root; see tests/slurm/real.py)
"""

import json
import os
import shlex
import sys

import pytest

from tests.slurm.real import Slurm, missing
from tests.unit.slurm.fake_cluster import ROOT
from tests.unit.slurm.test_train_job import TINY, metrics

pytestmark = pytest.mark.skipif(
    not os.environ.get("GEO_NEMO_REAL_SLURM") or bool(missing()),
    reason=f"GEO_NEMO_REAL_SLURM is not set, or {missing() or 'no reason else'}",
)
# A quick machine must not have taken them all before another job takes its nodes.
STEPS = 96
NODES = ("--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=0", "--cpus-per-task=1")
ALWAYS = ("--mem=0", "--time=20", "--partition=low")
ENVIRONMENT = {
    "GEO_NEMO_COMMAND": shlex.join([sys.executable, "-m", "geo_nemo"]),
    "GEO_NEMO_CHECKS": "node",
    "GEO_NEMO_GPUS": "0",
    "GEO_NEMO_MIN_FREE_GB": "0",
    "PYTHONPATH": str(ROOT),
    "MASTER_ADDR": "127.0.0.1",  # the nodes' names are known to no name server
}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm")) as started:
        yield started


def submit(slurm, output, *settings, nodes=NODES, **environment):
    log = f"{output}.log"
    number = slurm(
        "sbatch", "--parsable", *nodes, *ALWAYS, f"--output={log}",
        str(ROOT / "slurm" / "train.sbatch"), *settings, f"output_dir={output}",
        **{**ENVIRONMENT, **environment},
    )  # fmt: skip
    return number.strip()


def stub(tmp_path, text):
    path = tmp_path / "stub"
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return {"GEO_NEMO_COMMAND": str(path)}


def at_once(slurm, number):
    """Start a requeued job without SLURM's pause of two minutes."""
    slurm.wait_for(
        number, lambda job: job["JobState"] == "PENDING" and job["Restarts"] != "0", "requeued"
    )
    slurm("scontrol", "update", f"JobId={number}", "StartTime=now")


def timeless(line):
    return {k: v for k, v in line.items() if k not in ("tokens_per_second", "seconds", "memory_gb")}


def test_a_preempted_run_is_requeued_and_ends_like_one_that_was_not(slurm, tiny_store, tmp_path):
    settings = (
        *TINY, f"train.steps={STEPS}", f"data.store={tiny_store}", "deterministic=true",
        "logging.batch_digest=true",
    )  # fmt: skip
    number = submit(slurm, tmp_path / "preempted", *settings)
    slurm.wait_for(number, lambda _: len(metrics(tmp_path / "preempted")) >= 2, "at step 2")
    other = slurm(
        "sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive",
        "--output=/dev/null", "--wrap", "sleep 1",
    ).strip()  # fmt: skip
    at_once(slurm, number)
    ended = slurm.wait_for(number, lambda job: job["JobState"] in ("COMPLETED", "FAILED"), "ended")
    log = (tmp_path / "preempted.log").read_text()
    assert ended["JobState"] == "COMPLETED", log
    assert ended["Restarts"] == "1"
    assert "stopped and saved at step " in log
    assert slurm.job(other)["JobState"] == "COMPLETED"

    whole = submit(slurm, tmp_path / "whole", *settings)
    slurm.wait_for(whole, lambda job: job["JobState"] in ("COMPLETED", "FAILED"), "ended")
    seen, expected = metrics(tmp_path / "preempted"), metrics(tmp_path / "whole")
    assert [line["step"] for line in seen] == list(range(STEPS))
    assert [timeless(line) for line in seen] == [timeless(line) for line in expected]
    record = json.loads((tmp_path / "preempted" / "run.json").read_text())
    assert [session["world_size"] for session in record["sessions"]] == [2, 2]


def test_a_cancelled_job_stays_cancelled(slurm, tmp_path):
    text = "trap 'exit 75' TERM; touch $0.runs; for i in {1..600}; do sleep 0.1; done"
    number = submit(slurm, tmp_path / "run", **stub(tmp_path, text))
    slurm.wait_for(number, lambda _: (tmp_path / "stub.runs").exists(), "running")
    slurm("scancel", number)
    ended = slurm.wait_for(number, lambda job: job["JobState"] == "CANCELLED", "cancelled")
    assert ended["Restarts"] == "0"


def test_a_faulty_node_is_left_out_of_the_next_start(slurm, tmp_path):
    one = ("--nodes=1", *NODES[1:])
    # Two GPUs are asked for, and there is no nvidia-smi here.
    number = submit(
        slurm, tmp_path / "run", nodes=one, GEO_NEMO_GPUS="2", GEO_NEMO_DRAIN="0",
        **stub(tmp_path, "exit 0"),
    )  # fmt: skip
    slurm.wait_for(number, lambda job: job["Restarts"] == "1", "requeued")
    first = slurm.wait_for(number, lambda job: job["ExcNodeList"] != "(null)", "told")
    at_once(slurm, number)
    second = slurm.wait_for(number, lambda job: job["Restarts"] == "2", "requeued again")
    second = slurm.wait_for(number, lambda job: "," in job["ExcNodeList"], "told again")
    assert first["ExcNodeList"] in ("n1", "n2")
    assert sorted(second["ExcNodeList"].split(",")) == ["n1", "n2"]
    slurm("scancel", number)


def test_a_mistake_ends_the_job_with_2(slurm, tmp_path):
    number = submit(slurm, tmp_path / "run", **stub(tmp_path, "echo no such key >&2; exit 2"))
    ended = slurm.wait_for(number, lambda job: job["JobState"] == "FAILED", "failed")
    assert ended["ExitCode"] == "2:0" and ended["Restarts"] == "0"
