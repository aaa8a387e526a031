"""NeMo-Run submits to a real SLURM, by an ordinary user: the job trains, and its losses are ours.

make test-slurm     (as root, with .venv-nemo; see tests/slurm/real.py)
"""

import json
import shlex
from pathlib import Path

import pytest

from tests.slurm.real import ROOT, SYSTEM_PYTHON

PACKAGES = ROOT / ".venv-nemo/lib" / SYSTEM_PYTHON.name / "site-packages"
pytestmark = pytest.mark.skipif(
    not (PACKAGES / "nemo_run").is_dir(), reason="no NeMo-Run: make .venv-nemo/installed"
)
STEPS = 4


@pytest.fixture(scope="module")
def nemo(slurm):
    """Calls `nemo` as the user, from an environment of its own."""
    start = "import sys; sys.argv[0] = 'nemo'; from nemo_run.__main__ import app; app()"
    path = slurm.user.script("nemo", "")
    path.write_text(
        f"#!/bin/bash\nexport PYTHONPATH={shlex.quote(f'{ROOT}:{PACKAGES}')}\n"
        f'exec {SYSTEM_PYTHON} -c {shlex.quote(start)} "$@"\n'
    )

    def call(*words):
        # Its table of settings breaks long lines.
        return slurm.user.start("nemo", *words, COLUMNS="300", MASTER_ADDR="127.0.0.1")

    return call


def executor(**settings):
    given = {
        "account": "ours", "partition": "low", "nodes": 1, "ntasks_per_node": 1, "time": 30,
        "gpus_per_node": "null", "cpus_per_task": 1, "exclusive": "null", **settings,
    }  # fmt: skip
    words = (f"run.executor.{key}={value}" for key, value in given.items() if value is not None)
    return ["run.executor=geo_slurm", *words]


def settings(store, output):
    words = [
        f"data.store={store}", f"output_dir={output}", f"train.steps={STEPS}", "device=cpu",
        "train.warmup_steps=1", "logging.every_steps=1", "train.micro_batch_size=2",
    ]  # fmt: skip
    return f"settings={json.dumps(words)}"


def losses(output: Path) -> list[float]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_a_job_is_submitted_and_trains(slurm, nemo, shared_store):
    folder = slurm.user.folder("nemo")
    given = ("geo", "train", "--factory", "demo", "--yes")
    found = {}
    for nodes in (1, 2):
        output = folder / f"on {nodes}"
        done = nemo(*given, settings(shared_store, output), *executor(nodes=nodes))
        assert done.returncode == 0, done.stderr[-2000:]
        logs = [path.read_text() for path in (slurm.user.home / ".nemo_run").rglob("log-*.out")]
        assert "finished: SUCCEEDED" in done.stdout, logs
        found[nodes] = losses(output)
        record = json.loads((output / "run.json").read_text())
        assert [session["world_size"] for session in record["sessions"]] == [nodes]
    assert len(found[1]) == STEPS
    # The same batch on one process and on two: sums in another order of fp32.
    assert found[1] == pytest.approx(found[2], rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"account": None}, "NeMo-Run names a job after its account: add run.executor.account="),
        ({"time": 10}, "run.executor.time=10 leaves no time to train: the run is told to stop 600"),
    ],
)
def test_a_job_that_could_not_train_is_not_submitted(slurm, nemo, shared_store, changes, told):
    before = slurm("squeue", "-h", "-t", "all", "-o", "%i")
    words = settings(shared_store, slurm.user.home / "never")
    done = nemo("geo", "train", "--factory", "demo", "--yes", words, *executor(**changes))
    assert done.returncode != 0 and told in done.stdout + done.stderr
    assert slurm("squeue", "-h", "-t", "all", "-o", "%i") == before
