"""The profiler's window: its steps and no others, with their parts by name."""

import gzip
import json

import pytest
from pydantic import ValidationError

from geo_nemo.config import Logging, UserError
from geo_nemo.train.callbacks import Profile
from geo_nemo.train.ranges import Ranges, span
from geo_nemo.train.setup import prepare
from tests.support.runs import trainer
from tests.support.tiny import tiny_run

PARTS = ("data", "forward", "backward", "gradient sync", "optimizer")


def profiled(store, output, **settings):
    run = tiny_run(store, output, logging=Logging(profile=settings))
    made = trainer(run)
    made.callbacks = [Profile(output / "profile", run.logging.profile, made.engine)]
    return made


def ranges(path) -> list[dict]:
    """The ranges of a Chrome trace that were named, by their begin."""
    with gzip.open(path) as file:
        events = json.load(file)["traceEvents"]
    named = [event for event in events if event.get("cat") == "user_annotation"]
    return sorted(named, key=lambda event: event["ts"])


def test_the_trace_names_the_parts_of_its_steps_and_of_no_others(
    tiny_store, tmp_path, single_process
):
    made = profiled(tiny_store, tmp_path, start_step=2, steps=2)
    assert made.fit()
    files = sorted(path.name for path in (tmp_path / "profile").iterdir())
    assert files == ["rank_00000_step_00000002.json.gz", "rank_00000_step_00000002.txt"]
    found = ranges(tmp_path / "profile" / files[0])
    names = [event["name"] for event in found]
    # Two steps of four micro-batches.
    assert [names.count(part) for part in PARTS] == [2, 8, 8, 2, 2]
    in_order = [name for name in names if name in ("data", "optimizer")]
    assert in_order == ["data", "optimizer", "data", "optimizer"]
    forward, backward = (next(e for e in found if e["name"] == n) for n in ("forward", "backward"))
    assert forward["ts"] + forward["dur"] <= backward["ts"]
    table = (tmp_path / "profile" / files[1]).read_text()
    assert "aten::mm" in table and "Self CPU" in table
    assert made.engine.config.timers is None


def test_a_run_without_a_profile_names_nothing(tiny_store, tmp_path, single_process):
    made = trainer(tiny_run(tiny_store, tmp_path))
    assert made.fit()
    assert made.engine.config.timers is None
    assert span(None, "data") is span(None, "forward")
    assert not (tmp_path / "profile").exists()


def test_a_window_that_the_end_cuts_short_is_written(tiny_store, tmp_path, single_process):
    assert profiled(tiny_store, tmp_path, start_step=5, steps=9).fit()
    found = ranges(tmp_path / "profile" / "rank_00000_step_00000005.json.gz")
    assert [event["name"] for event in found].count("optimizer") == 1


def test_a_process_that_begins_after_the_window_or_is_another_rank_s_writes_none(
    tiny_store, tmp_path, single_process
):
    made = profiled(tiny_store, tmp_path, start_step=0, steps=2)
    (callback,) = made.callbacks
    callback.on_start(2)
    callback.on_end()
    callback.is_mine = False
    callback.on_start(0)
    callback.on_end()
    assert not (tmp_path / "profile").exists()


@pytest.mark.very_slow
def test_it_does_not_change_the_training(tiny_store, tmp_path, single_process):
    import torch

    from tests.support.runs import finished, weights

    plain = weights(finished(tiny_store, tmp_path / "plain"))
    made = profiled(tiny_store, tmp_path / "profiled", start_step=1)
    assert made.fit()
    for name, weight in weights(made).items():
        assert torch.equal(weight, plain[name]), name


def test_ranges_of_one_name_may_stand_in_each_other():
    from torch.profiler import ProfilerActivity, profile

    named = Ranges()
    with profile(activities=[ProfilerActivity.CPU]) as profiler, named.span("outer"):
        with span(named, "outer"):
            named("forward-compute", log_level=2).start(barrier=True)
        named("forward-compute").stop()
    counts = {event.key: event.count for event in profiler.key_averages()}
    assert counts == {"outer": 2, "forward": 1}


def test_a_rank_that_there_is_not_or_a_step_after_the_last_is_a_line(tiny_store, tmp_path):
    run = tiny_run(tiny_store, tmp_path, logging=Logging(profile={"start_step": 1, "ranks": [2]}))
    with pytest.raises(UserError, match=r"profile.ranks \[2\]: the last rank of this run is 1"):
        prepare(run, world_size=2)
    with pytest.raises(ValidationError, match=r"start_step 6 must be below train.steps 6"):
        tiny_run(tiny_store, tmp_path, logging=Logging(profile={"start_step": 6}))
