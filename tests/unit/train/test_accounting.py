"""Samples, tokens, GPU-hours and goodput over restarts, against sums by hand."""

import json
import time
from types import SimpleNamespace

import pytest
import torch

from geo_nemo.train.callbacks.accounting import Accounting
from geo_nemo.train.callbacks.times import Times
from geo_nemo.train.setup import prepare
from tests.support.tiny import tiny_run

pytestmark = pytest.mark.usefixtures("single_process")


@pytest.fixture
def prepared(tiny_store, tmp_path):
    return prepare(tiny_run(tiny_store, tmp_path), 1)


def event(stage, tokens=7, seconds=2.0, data=0.5, work=1.0, checkpoint=0.0):
    report = SimpleNamespace(trained_tokens=tokens, work_seconds=work)
    return SimpleNamespace(
        stage=stage, report=report, seconds=seconds, data_seconds=data,
        checkpoint_seconds=checkpoint,
    )  # fmt: skip


def test_totals_are_those_of_the_steps_that_were_taken(prepared, tmp_path):
    run = prepared.run
    per_step = run.train.global_batch_size * run.data.seq_length
    stages = prepared.stages
    left_out = [0, stages[-1].first_step]
    made = Accounting(prepared, tmp_path / "beat", lambda: left_out)
    for stage, tokens in ((stages[0], 5), (stages[0], 6), (stages[-1], 10)):
        made.on_step(event(stage, tokens))
    totals = made.totals(run.train.steps)
    by_stage = {stage.name: (stage.steps - 1) * per_step for stage in stages}
    assert totals["tokens_by_stage"] == by_stage
    assert totals["total_tokens"] == sum(by_stage.values())
    assert totals["total_samples"] == run.train.steps * run.train.global_batch_size
    trained = {stages[0].name: 11, stages[-1].name: 10}
    assert totals["trained_tokens_by_stage"] == trained
    assert totals["total_trained_tokens"] == 21


def test_a_checkpoint_goes_on_from_and_an_old_one_counts_no_tokens(prepared, tmp_path):
    first = Accounting(prepared, tmp_path / "beat")
    first.on_step(event(prepared.stages[0], 5))
    second = Accounting(prepared, tmp_path / "beat")
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    second.on_step(event(prepared.stages[0], 6))
    assert second.totals(2)["total_trained_tokens"] == 11
    old = Accounting(prepared, tmp_path / "beat")
    old.load_state_dict({})  # of a version that did not count
    old.on_step(event(prepared.stages[0], 6))
    assert "total_trained_tokens" not in old.totals(2)


def test_goodput_counts_what_sessions_held_and_not_the_time_between_them(prepared, tmp_path):
    beat = tmp_path / "beat.json"
    now = time.time()
    # Two GPUs for 100 seconds up to the last sign of life, an hour ago; 40 seconds before that.
    beat.write_text(json.dumps({
        "time": now - 3600, "started": now - 3700, "world_size": 2, "held_seconds_before": 40.0,
    }))  # fmt: skip
    made = Accounting(prepared, beat)
    made.load_state_dict({"trained_tokens": {}, "kept_seconds": 60.0, "held_seconds": 50.0})
    made.started = now - 10
    made.on_start(3)
    made.on_step(event(prepared.stages[0], seconds=4.0))
    found = made.efficiency()
    held = 40 + 2 * 100 + (time.time() - made.started)
    assert found["gpu_hours"] == pytest.approx(held / 3600, rel=0.01)
    assert found["goodput"] == pytest.approx(64 / held, rel=0.01)
    # A rewind winds the kept steps back, and no time.
    made.load_state_dict({"trained_tokens": {}, "kept_seconds": 60.0, "held_seconds": 50.0})
    assert made.efficiency()["gpu_hours"] >= found["gpu_hours"]
    assert made.efficiency()["goodput"] < found["goodput"]


def test_seconds_of_a_line_are_means_over_its_steps(prepared):
    times = Times(torch.device("cpu"))
    times.find_hosts()
    for data, work, checkpoint in ((0.5, 1.0, 0.0), (1.5, 3.0, 2.0)):
        times.add(event(prepared.stages[0], data=data, work=work, checkpoint=checkpoint))
    found = times.exchanged()
    assert found["data_wait"] == 1.0 and found["work_mean"] == 3.0 == found["work_max"]
    assert found["work_spread"] == 0 and found["slowest_rank"] == 0 and found["slowest_host"]
    assert found["checkpoint"] == 2.0
    times.restart()
    assert times.steps == 0
