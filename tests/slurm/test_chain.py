"""`geo-nemo launch` under a real SLURM: preparation, training, evaluation and report.

make test-slurm     (as root; see tests/slurm/real.py)
"""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.slurm.real import Slurm, missing
from tests.unit.slurm.fake_cluster import ROOT

pytestmark = pytest.mark.skipif(
    not os.environ.get("GEO_NEMO_REAL_SLURM") or bool(missing()),
    reason=f"GEO_NEMO_REAL_SLURM is not set, or {missing() or 'no reason else'}",
)
SECRET = "hf_0123456789secret"
# As a shell reads it: the checkout may stand in a folder with a space.
COMMAND = shlex.join([sys.executable, "-m", "geo_nemo"])
# What the test's nodes have of cores and memory.
SMALL = "slurm.sbatch=['--cpus-per-task=1','--mem=900','--partition=low']"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm")) as started:
        yield started


def geo_nemo(slurm, folder, *words):
    done = subprocess.run(
        [sys.executable, "-m", "geo_nemo", *words],
        cwd=folder,
        env={**slurm.environment, "PYTHONPATH": str(ROOT), "GEO_NEMO_MIN_FREE_GB": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_command_prepares_trains_evaluates_and_reports(slurm, tmp_path):
    geo_nemo(slurm, tmp_path, "synth", f"output={tmp_path}/corpus", "documents=800")
    secrets = tmp_path / "env"
    secrets.write_text(f"HF_TOKEN={SECRET}\n")
    secrets.chmod(0o600)
    news, run = tmp_path / "news", tmp_path / "run"
    submitted = geo_nemo(
        slurm, tmp_path, "launch", "slurm=cpu", "slurm.time=30", SMALL,
        f'slurm.command="{COMMAND}"', f"slurm.env_file={secrets}",
        "slurm.checks=[node,doctor]",
        "experiment=demo", f"data.store={news}/store", f"output_dir={run}", "train.steps=10",
        "train.warmup_steps=2", "train.global_batch_size=4", "train.micro_batch_size=4",
        "--prep",
        f"input={tmp_path}/corpus/news.jsonl.gz output={news} tokenizer.vocab_size=512",
        "--eval",
        f"runs.a={run} store={news}/store output={tmp_path}/eval num_documents=20",
        "--report", f"eval={tmp_path}/eval output={tmp_path}/report.html",
    )  # fmt: skip
    jobs = dict(line.split() for line in submitted.splitlines())
    assert list(jobs) == ["prep", "train", "eval", "report"]
    done = slurm.wait_for(
        jobs["report"],
        lambda job: job["JobState"] in ("COMPLETED", "FAILED", "CANCELLED"),
        "through",
        seconds=300,
    )
    logs = {path.name: path.read_text() for path in tmp_path.glob("slurm-*.out")}
    assert done["JobState"] == "COMPLETED", logs
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 9
    assert json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert "<html" in (tmp_path / "report.html").read_text()
    # No script, log or record holds the secret.
    spelt = SECRET.encode()
    holding = [
        path
        for folder in (tmp_path, slurm.folder)
        for path in folder.rglob("*")
        if path.is_file() and path != secrets and spelt in path.read_bytes()
    ]
    assert holding == []
