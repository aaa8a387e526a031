"""slurm/train.sbatch under a real SLURM: preempted, requeued, resumed, cancelled, a node left out.

make test-slurm     (as root; see tests/slurm/real.py)
"""

import json
import shlex
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.e2e.test_kill_and_resume import timeless
from tests.unit.slurm.fake_cluster import ROOT
from tests.unit.slurm.test_train_job import TINY, metrics

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


def at_once(slurm, number, told=False):
    """Start a requeued job without SLURM's pause of two minutes; told: once a node is left out."""
    slurm.wait_for(
        number, lambda job: job["JobState"] == "PENDING" and job["Restarts"] != "0", "requeued"
    )
    if told:
        slurm.wait_for(number, lambda job: job["ExcNodeList"] != "(null)", "told")
        slurm.wait_for(number, lambda job: job["Priority"] != "0", "released")
    slurm("scontrol", "update", f"JobId={number}", "StartTime=now")


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
    ended = slurm.wait_for_end(number)
    log = (tmp_path / "preempted.log").read_text()
    assert ended["JobState"] == "COMPLETED", log
    assert ended["Restarts"] == "1"
    assert "stopped and saved at step " in log
    assert slurm.job(other)["JobState"] == "COMPLETED"

    whole = submit(slurm, tmp_path / "whole", *settings)
    slurm.wait_for_end(whole)
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


@pytest.mark.parametrize("drain", ["0", "1"])
def test_a_check_that_fails_everywhere_leaves_out_node_after_node_and_then_stops(
    slurm, tmp_path, drain
):
    one = ("--nodes=1", *NODES[1:])
    # Two GPUs are asked for, and there are none here.
    number = submit(
        slurm, tmp_path / "run", nodes=one, GEO_NEMO_GPUS="2", GEO_NEMO_DRAIN=drain,
        GEO_NEMO_DEV=str(tmp_path), **stub(tmp_path, "exit 0"),
    )  # fmt: skip
    try:
        at_once(slurm, number, told=drain == "0")
        ended = slurm.wait_for_end(number)
        log = (tmp_path / "run.log").read_text()
        assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "1:0"), log
        assert ended["Restarts"] == "1"
        did = "drained" if drain == "1" else "leaves out"
        assert f"{did} node n1: no nvidia-smi" in log and f"{did} node n2: no nvidia-smi" in log
        assert "cannot be placed any more: without the faulty nodes partition low has 0" in log
        states = slurm("sinfo", "-h", "-N", "-p", "low", "-o", "%T").split()
        assert all(state.startswith("drain") == (drain == "1") for state in states)
    finally:
        slurm("scontrol", "update", "NodeName=n1,n2", "State=RESUME", check=False)


def test_a_user_may_not_drain_and_the_job_leaves_the_nodes_out(slurm):
    folder = slurm.user.folder("drain")
    path = slurm.user.script("stub", "exit 0")
    number = slurm.user(
        "sbatch", "--parsable", "--nodes=1", *NODES[1:], *ALWAYS, f"--output={folder}/log",
        str(ROOT / "slurm" / "train.sbatch"), f"output_dir={folder}/run",
        GEO_NEMO_COMMAND=str(path), GEO_NEMO_CHECKS="node", GEO_NEMO_GPUS="2", GEO_NEMO_DRAIN="1",
        GEO_NEMO_DEV=str(folder), GEO_NEMO_MIN_FREE_GB="0",
    ).strip()  # fmt: skip
    at_once(slurm, number, told=True)
    ended = slurm.wait_for_end(number)
    log = (folder / "log").read_text()
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "1:0"), log
    assert "leaves out node n1" in log and "cannot be placed any more" in log
    assert "drain" not in slurm("sinfo", "-h", "-N", "-o", "%T")


def test_on_a_full_disk_the_job_says_so_and_stops(slurm):
    folder = slurm.user.folder("full")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "full", folder], check=True)
    try:
        (folder / "filler").write_bytes(bytes(60 * 1024))
        path = slurm.user.script("stub", "exit 0")
        log = slurm.user.home / "full.log"
        for filled in (False, True):
            if filled:
                with suppress(OSError), (folder / "more").open("wb", buffering=0) as file:
                    while True:
                        file.write(b"x")
            number = slurm.user(
                "sbatch", "--parsable", "--nodes=1", *NODES[1:], *ALWAYS, f"--output={log}",
                "--open-mode=truncate", str(ROOT / "slurm" / "train.sbatch"),
                f"output_dir={folder}/run", GEO_NEMO_COMMAND=str(path), GEO_NEMO_CHECKS="node",
                GEO_NEMO_GPUS="0", GEO_NEMO_MIN_FREE_GB="0",
            ).strip()  # fmt: skip
            ended = slurm.wait_for_end(number)
            assert ended["ExitCode"] == "2:0", log.read_text()
            said = [line for line in log.read_text().splitlines() if "start 0 on" not in line]
            assert len(said) == 1 and "no space left" in said[0], said
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_mistake_ends_the_job_with_2(slurm, tmp_path):
    number = submit(slurm, tmp_path / "run", **stub(tmp_path, "echo no such key >&2; exit 2"))
    ended = slurm.wait_for_end(number)
    assert ended["ExitCode"] == "2:0" and ended["Restarts"] == "0"
