"""A run that is wound back and then killed, with every logger on: each has each step once."""

import json

import pytest

from geo_nemo.config import BadSteps, Logging, Train
from geo_nemo.train.callbacks import Accounting, Loggers, Metrics
from geo_nemo.train.callbacks.loggers import make_loggers
from tests.support import wandb_file
from tests.support.runs import trainer
from tests.support.tiny import tiny_run
from tests.unit.train.loggers import test_mlflow, test_tensorboard
from tests.unit.train.loggers.conftest import needs
from tests.unit.train.test_bad_steps import refuse_once

pytestmark = pytest.mark.very_slow  # of make test-loggers

STEPS, BAD, KILLED_AFTER = 10, 4, 8  # the first checkpoint is that of step 3


def session(run, database):
    """The Trainer of a session of `run`, with the callbacks of the command."""
    made = trainer(run)
    output = made.directory.parent
    output.mkdir(exist_ok=True)
    logging = Logging(
        every_steps=1, tensorboard=True, wandb_project="p", mlflow_uri=database,
        prometheus_textfile=str(output / "run.prom"),
    )  # fmt: skip
    loggers = Loggers(make_loggers(logging, output, "tiny", {}), outcome=lambda: made.outcome)
    accounting = Accounting(made.prepared, output / "heartbeat.json", made.left_out.copy)
    groups, path = made.prepared.groups, output / "metrics.jsonl"
    metrics = Metrics(path, run, groups, 640, made.engine, accounting, loggers)
    made.callbacks = [accounting, metrics, loggers]
    return made


def test_every_logger_has_each_step_of_a_rewound_and_killed_run_once(
    tiny_store, tmp_path, single_process, monkeypatch
):
    for package in ("tensorboard", "wandb", "mlflow", "sqlalchemy", "prometheus_client"):
        needs(package)
    monkeypatch.setenv("WANDB_MODE", "offline")
    output, database = tmp_path / "run", f"sqlite:///{tmp_path / 'mlflow.db'}"
    train = Train(steps=STEPS, global_batch_size=8, micro_batch_size=2, lr=1e-3, min_lr=1e-4,
                  warmup_steps=2)  # fmt: skip
    # Saved at once: the kill must not come before the checkpoint that knows of the bad step.
    checkpoint = {"every_steps": 3, "async_save": False}
    bad_steps = BadSteps(policy="rewind")
    run = tiny_run(tiny_store, output, train=train, bad_steps=bad_steps, checkpoint=checkpoint)

    first = session(run, database)
    refuse_once(first, BAD)

    class Kill:
        def on_start(self, step): ...

        def on_end(self): ...

        def on_step(self, event):
            if event.step + 1 == KILLED_AFTER:
                raise KeyboardInterrupt

    first.callbacks.append(Kill())
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    second = session(run, database)
    assert second.fit()

    expected = [step + 1 for step in range(STEPS) if step != BAD]
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    losses = {line["steps_done"]: line["loss"] for line in lines}
    assert sorted(losses) == expected

    board = test_tensorboard.points(output, "loss")
    assert [step for step, _ in board] == expected
    assert [loss for _, loss in board] == pytest.approx(list(losses.values()), rel=1e-6)  # float32

    files = sorted((output / "wandb").glob("*run-*/run-*.wandb"))
    assert len(files) == 2 and len({file.name for file in files}) == 1
    wandb_file.wait_for_end(files[-1])
    rows = [row for file in files for row in wandb_file.rows(file)]
    assert {row["_step"]: row["loss"] for row in rows} == losses
    assert [row["_step"] for row in rows] == expected

    (mlflow,) = test_mlflow.runs(database)
    assert mlflow.info.status == "FINISHED"
    assert test_mlflow.points(database, mlflow.info.run_id, "loss") == list(losses.items())

    assert f'geo_nemo_step{{run="tiny"}} {float(STEPS)}' in (output / "run.prom").read_text()
