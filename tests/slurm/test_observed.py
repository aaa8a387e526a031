"""A run that is watched, under a real SLURM and by an ordinary user: loggers, word of the end, gc.

It is killed, requeued and ends: one run in every logger, each step once in the appended ones.

make test-slurm     (as root; see tests/slurm/real.py)
"""

import json
from importlib.util import find_spec

import pytest

from tests.slurm.test_chain import SMALL
from tests.slurm.test_real_slurm import at_once

STEPS = 60
NEEDS = {"tensorboard": ["tensorboard"], "wandb": ["wandb"], "mlflow": ["mlflow", "sqlalchemy"]}
LOGGERS = [name for name, packages in NEEDS.items() if all(map(find_spec, packages))]


@pytest.fixture(scope="module")
def home(slurm):
    home = slurm.user.folder("observed")
    path = slurm.user.script("tell", f"cat >>{home}/told; echo >>{home}/told")
    (home / "env").write_text("WANDB_MODE=offline\n")
    slurm.user("bash", "-c", f"cp {home}/env {home}/secrets && chmod 600 {home}/secrets")
    return home, path


def status(slurm, run):
    return json.loads(slurm.user("geo-nemo", "status", str(run), "--json"))[0]


def test_a_run_that_is_killed_is_one_run_everywhere(slurm, home, shared_store):
    home, tell = home
    run = home / "run"
    loggers = {
        "tensorboard": ["logging.tensorboard=true"],
        "wandb": ["logging.wandb_project=p"],
        "mlflow": [f"logging.mlflow_uri=sqlite:///{home}/mlflow.db"],
    }
    number = slurm.user(
        "geo-nemo", "launch", *SMALL, "slurm.checks=[]", f"slurm.env_file={home}/secrets",
        f"slurm.command={slurm.user.bin}/geo-nemo", "experiment=demo",
        f"data.store={shared_store}", f"output_dir={run}", f"train.steps={STEPS}",
        "train.warmup_steps=2", "train.global_batch_size=8", "train.micro_batch_size=8",
        "checkpoint.every_steps=5", "logging.every_steps=1", f"notify.command={tell}",
        *(word for name in LOGGERS for word in loggers[name]),
        SBATCH_EXPORT="NONE",
    ).split()[1]  # fmt: skip
    beat = run / "heartbeat.json"

    def has_come_far() -> bool:
        gone = slurm.job(number)["JobState"] not in ("PENDING", "CONFIGURING", "RUNNING")
        assert not gone, (run / f"slurm/train-{number}.out").read_text()
        return beat.exists() and json.loads(beat.read_text())["step"] > 7

    slurm.wait(has_come_far, "no step 7", 600)
    seen = status(slurm, run)
    assert (seen["state"], seen["job"]["id"], seen["steps"]) == ("running", number, STEPS)
    slurm.user("kill", "-9", str(json.loads(beat.read_text())["pid"]))
    at_once(slurm, number)
    ended = slurm.wait_for_end(number)
    log = (run / f"slurm/train-{number}.out").read_text()
    assert ended["JobState"] == "COMPLETED" and ended["Restarts"] == "1", log
    assert "Killed" not in log  # in the shell's own words

    seen = status(slurm, run)
    assert (seen["state"], seen["step"], seen["restarts"]) == ("finished", STEPS, 1)
    assert "ended by signal 9" in seen["last_error"]["line"]
    told = [json.loads(line) for line in (home / "told").read_text().splitlines() if line]
    assert [message["event"] for message in told] == ["finished"]
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(STEPS))
    if "tensorboard" in LOGGERS:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run / "tensorboard")).Reload()
        assert [event.step for event in events.Scalars("loss")] == list(range(1, STEPS + 1))
    if "mlflow" in LOGGERS:
        import mlflow

        client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
        (found,) = client.search_runs(["0"])
        history = client.get_metric_history(found.info.run_id, "loss")
        assert sorted(metric.step for metric in history) == list(range(1, STEPS + 1))
        assert found.info.status == "FINISHED"
    if "wandb" in LOGGERS:
        offline = list(run.glob("wandb/offline-run-*"))
        # A folder a process; their names end with the one id that both have.
        assert len(offline) == 2 and len({path.name.rpartition("-")[2] for path in offline}) == 1


def test_the_end_of_a_run_whose_process_is_killed_is_told_by_its_job(slurm, home, shared_store):
    home, tell = home
    run = home / "killed"
    number = slurm.user(
        "geo-nemo", "launch", *SMALL, "slurm.checks=[]", "slurm.restarts=1",
        f"slurm.command={slurm.user.bin}/geo-nemo", "experiment=demo",
        f"data.store={shared_store}", f"output_dir={run}", "train.steps=500",
        f"notify.command={tell}",
    ).split()[1]  # fmt: skip
    beat = run / "heartbeat.json"
    slurm.wait(beat.exists, "no heartbeat", 600)
    (home / "told").write_text("")
    slurm.user("kill", "-9", str(json.loads(beat.read_text())["pid"]))
    ended = slurm.wait_for_end(number)
    assert ended["ExitCode"] == "1:0"
    (message,) = [json.loads(line) for line in (home / "told").read_text().splitlines() if line]
    assert message["event"] == "failed"
    assert f"job {number}: ended by signal 9" in message["text"]


def test_gc_lists_what_may_go_and_removes_it(slurm, home):
    home, _ = home
    run = home / "run"
    before = sorted((run / "checkpoints").iterdir())
    shown = slurm.user("geo-nemo", "gc", str(run), "--dry-run")
    slurm.user("geo-nemo", "gc", str(run), "--yes")
    after = sorted((run / "checkpoints").iterdir())
    assert before[-1] in after and set(after) <= set(before), shown
    assert status(slurm, run)["state"] == "finished"
