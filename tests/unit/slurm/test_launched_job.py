"""A job that reads its settings from the file of geo-nemo launch, on pretended nodes."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from geo_nemo.config import Run
from geo_nemo.config.launch import Slurm
from geo_nemo.config.load import load_config
from geo_nemo.launch.chain import Chain, chain_jobs
from geo_nemo.launch.jobs import Launch, job_environment, settings_folder, training_job
from tests.unit.slurm.fake_cluster import ROOT, Cluster


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / "cluster")


class Written:
    """A launch that is written, and not submitted."""

    def __init__(self, cluster, outputs, chain=None, **settings):
        self.cluster = cluster
        slurm = Slurm(**{"gpus_per_node": 0, "checks": (), "min_free_gb": 0} | settings)
        runs = [
            load_config(
                "train", Run, ("experiment=demo", "data.store=/s", f"output_dir='{output}'")
            )
            for output in outputs
        ]
        train = training_job(slurm, "test", runs, is_array=len(runs) > 1)
        before, behind = chain_jobs(slurm, chain or Chain())
        jobs = [*before, train, *behind]
        folder = settings_folder(list(map(str, outputs)), [c for job in jobs for c in job.configs])
        self.launch = Launch(folder, ROOT / "slurm", job_environment(slurm, ROOT / "slurm"), jobs)
        self.launch.write()
        self.file, self.hash = self.words("train")

    def words(self, name):
        """File and hash of a job."""
        (job,) = (job for job in self.launch.jobs if job.name == name)
        return self.launch.call(job, None)[-2:]

    def run(self, *given, name="train", script="train.sbatch", **environment):
        """Start the job as slurmd would, with an environment that has nothing of ours."""
        words = given or ("--launch", *self.words(name))
        process = self.cluster.start(*words, script=script, **environment)
        log, _ = process.communicate(timeout=300)
        return process.returncode, log


def stub(cluster, text):
    """A command for slurm.command; it writes its words to `seen`."""
    path = cluster.command(
        cluster.folder / "stub", f'#!/bin/bash\nprintf "%s|" "$@" >{cluster.folder}/seen\n{text}\n'
    )
    return str(path)


def seen(cluster):
    return (cluster.folder / "seen").read_text()


def test_the_job_goes_by_its_file_and_not_by_the_shell(cluster, tmp_path):
    output = tmp_path / "a run"
    written = Written(cluster, [output], command=shlex.quote(stub(cluster, "exit 0")))
    # What an earlier day has left in the user's shell.
    stale = {
        "GEO_NEMO_COMMAND": "false", "GEO_NEMO_CONTAINER": "/none.sqsh",
        "GEO_NEMO_CHECKS": "node doctor allreduce", "GEO_NEMO_SLURM": "/nowhere",
        "GEO_NEMO_GPUS": "8",
    }  # fmt: skip
    code, log = written.run(**stale)
    assert code == 0, log
    config = f"{written.launch.folder}/train-0.json"
    assert seen(cluster) == f"train|--config|{config}|"
    # slurm.checks=[] is none, not all: the training is the one step.
    assert len(cluster.calls("srun")) == 1
    assert load_config(config, Run).output_dir == str(output)


def test_an_environment_that_the_site_does_not_hand_on_is_not_missed(cluster, tmp_path):
    written = Written(cluster, [tmp_path / "run"], command=shlex.quote(stub(cluster, "exit 0")))
    job = {
        key: value
        for key, value in cluster.environment().items()
        if key.startswith("SLURM") or key in ("PATH", "FAKE_CLUSTER", "HOME")
    }
    done = subprocess.run(
        ["bash", str(ROOT / "slurm/train.sbatch"), "--launch", written.file, written.hash],
        env=job, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all("--export=ALL" in call for call in cluster.calls("srun"))


def test_a_task_of_an_array_takes_the_config_of_its_number(cluster, tmp_path):
    outputs = [tmp_path / "runs/of a", tmp_path / "runs/b"]
    written = Written(cluster, outputs, command=shlex.quote(stub(cluster, "exit 0")))
    assert written.launch.folder.parent == tmp_path / "runs/slurm"
    for number, output in enumerate(outputs):
        code, log = written.run(SLURM_ARRAY_TASK_ID=str(number))
        assert code == 0, log
        assert seen(cluster) == f"train|--config|{written.launch.folder}/train-{number}.json|"
        assert (output / "slurm/42/0/verdict").read_text() == "finished\n"
    code, log = written.run(SLURM_ARRAY_TASK_ID="2")
    assert code == 2 and f"the settings {written.file} have no run 2" in log


def test_jobs_of_an_array_count_faulty_nodes_together(cluster, tmp_path):
    outputs = [tmp_path / "runs" / name for name in "abc"]
    written = Written(
        cluster, outputs, command=shlex.quote(stub(cluster, "exit 0")), gpus_per_node=2,
        checks=("node",),
    )  # fmt: skip
    codes = []
    for task in range(3):
        written.cluster = Cluster(tmp_path / f"cluster-{task}", nodes=(f"n{task}",))
        code, log = written.run(
            job=41 + task, SLURM_ARRAY_JOB_ID="40", SLURM_ARRAY_TASK_ID=str(task),
            PATH=f"{written.cluster.folder}/bin:/usr/bin:/bin",
        )  # fmt: skip
        codes.append(code)
    assert codes == [75, 75, 1]
    assert "3 nodes are found faulty for one reason" in log


def test_settings_that_were_edited_are_refused(cluster, tmp_path):
    written = Written(cluster, [tmp_path / "run"], command=stub(cluster, "exit 0"))
    config = written.launch.folder / "train-0.json"
    before = config.read_text()
    for change, told in (
        (before.replace('"seed": ', '"seed": 1'), f"the config {config} is not as geo-nemo launch"),
        (None, f"the config {config} cannot be read"),
    ):
        config.write_text(change) if change else config.unlink()
        code, log = written.run()
        assert code == 2 and told in log and log.count("\n") == 1, log
    config.write_text(before)
    file = written.launch.folder / "train.sh"
    file.write_text(file.read_text().replace("GEO_NEMO_RESTARTS=3", "GEO_NEMO_RESTARTS=9"))
    code, log = written.run()
    assert code == 2 and log.count("\n") == 1
    assert f"the settings {file} is not as geo-nemo launch wrote it: launch the run again" in log
    file.unlink()
    code, log = written.run()
    assert code == 2 and f"the settings {file} cannot be read on" in log and log.count("\n") == 1
    assert cluster.calls("srun") == []


def test_settings_of_another_run_are_refused(cluster, tmp_path):
    written = Written(cluster, [tmp_path / "run"], command=stub(cluster, "exit 0"))
    other = tmp_path / "other/train.sh"
    other.parent.mkdir()
    other.write_bytes((written.launch.folder / "train.sh").read_bytes())
    code, log = written.run("--launch", str(other), written.hash)
    assert code == 2 and f"the settings {other} are those of {written.file}" in log


def test_a_job_around_the_training_reads_its_own_config(cluster, tmp_path):
    from data_prep.config import Prep

    prep = Prep(input=({"path": "/raw"},), output=str(tmp_path / "news"))
    written = Written(
        cluster, [tmp_path / "run"], Chain(prep=prep),
        command=shlex.quote(stub(cluster, "exit 3")),
    )  # fmt: skip
    code, log = written.run(name="prep", script="command.sbatch")
    assert code == 3, log
    config = written.launch.folder / "prep-0.json"
    assert seen(cluster) == f"prep|run|{config}|"
    assert load_config(str(config), Prep) == prep
    assert json.loads(config.read_text())["output"] == str(tmp_path / "news")


@pytest.mark.very_slow
def test_a_recipe_that_only_the_submitter_has_trains(cluster, tiny_store, tmp_path, monkeypatch):
    own = tmp_path / "recipes/experiment"
    own.mkdir(parents=True)
    own.joinpath("mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - demo\ntrain: {steps: 3, warmup_steps: 1}\n"
        "model: {num_layers: 2, hidden_size: 64, ffn_hidden_size: 96}\n"
    )
    monkeypatch.setenv("GEO_NEMO_RECIPES", str(tmp_path / "recipes"))
    slurm = Slurm(
        gpus_per_node=0, checks=(), command=shlex.join([sys.executable, "-m", "geo_nemo"])
    )
    output = tmp_path / "run"
    settings = ("experiment=mine", f"data.store={tiny_store}", f"output_dir={output}", "device=cpu")
    run = load_config("train", Run, settings)
    job = training_job(slurm, "mine", [run], is_array=False)
    launch = Launch(
        settings_folder([str(output)], job.configs), ROOT / "slurm",
        job_environment(slurm, ROOT / "slurm"), [job],
    )  # fmt: skip
    launch.write()
    monkeypatch.delenv("GEO_NEMO_RECIPES")
    os.remove(own / "mine.yaml")
    process = cluster.start(*launch.call(job, None)[-3:])
    log, _ = process.communicate(timeout=600)
    assert process.returncode == 0, log
    record = json.loads((output / "run.json").read_text())
    assert record["config"]["train"]["steps"] == 3
