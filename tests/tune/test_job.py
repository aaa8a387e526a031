"""A tuning that geo-nemo launch has written, on pretended nodes, with the real TRL and PEFT."""

import json
import os
import shlex
import signal
import sys
import time

import pytest

pytest.importorskip("trl", reason="make test-tune installs it")
pytest.importorskip("peft", reason="make test-tune installs it")

from geo_nemo.config.launch import Slurm
from geo_nemo.config.tune import load_tune
from geo_nemo.launch.jobs import Launch, job_environment, settings_folder, tuning_job
from tests.tune.test_command import SETTINGS
from tests.unit.slurm.fake_cluster import ROOT, Cluster


def test_two_nodes_that_are_told_to_stop_save_are_requeued_and_finish(base, data, tmp_path):
    cluster = Cluster(tmp_path / "cluster", nodes=("n1", "n2"))
    out = tmp_path / "out"
    settings = (*SETTINGS, f"data={data}", f"output={out}", "steps=30", "save_every_steps=100")
    config = load_tune("tune", str(base), settings)
    slurm = Slurm(
        nodes=2, gpus_per_node=0, checks=("doctor",), min_free_gb=0,
        command=shlex.join([sys.executable, "-m", "geo_nemo"]),
    )  # fmt: skip
    job = tuning_job(slurm, config)
    scripts = ROOT / "slurm"
    folder = settings_folder(job.outputs, job.configs)
    launch = Launch(folder, scripts, job_environment(slurm, scripts), [job])
    launch.write()
    words = launch.call(job, None)[-3:]
    begun = tmp_path / "out.partial/metrics.jsonl"
    process = cluster.start(*words)
    while process.poll() is None and not begun.is_file():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGUSR1)
    log, _ = process.communicate(timeout=500)
    assert process.returncode == 75 and cluster.requeues() == ["requeue"], log
    (saved,) = (tmp_path / "out.partial/checkpoints").glob("checkpoint-*/whole.json")
    step = int(saved.parent.name.removeprefix("checkpoint-"))
    attempt = tmp_path / "out.job/slurm/42/0"
    assert 1 <= step < 30 and not out.exists()
    assert (attempt / "verdict").read_text() == f"stopped and saved at step {step}\n"
    ended = [(attempt / f"rank_0000{rank}.exit").read_text().split()[0] for rank in range(2)]
    assert ended == ["75", "75"]

    code, log = cluster.run(*words, restart=1)
    assert code == 0, log
    assert f"step {step} is saved" in log
    trained = json.loads((out / "tune.json").read_text())["trained"]
    assert trained["steps"] == 30 and trained["processes"] == 2
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out", "out.job"]
    # Submitted again, it has nothing to do.
    code, log = cluster.run(*words, restart=2)
    assert code == 0 and f"{out} is there already" in log, log
