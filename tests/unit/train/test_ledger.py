"""The ledger of a run equals a walk over the batches it trained on, whatever happened."""

import json
import os
import shutil
from collections import defaultdict

import numpy as np
import pytest

from geo_nemo.config import BadSteps, Train
from geo_nemo.data.batches import sequences_of
from geo_nemo.data.index.read import LEDGER
from geo_nemo.metadata.record import Kind
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import prepare
from geo_nemo.train.step import BadStepError
from tests.support.runs import Events, trainer
from tests.support.tiny import tiny_run

STEPS = 8
TRAIN = Train(steps=STEPS, global_batch_size=8, micro_batch_size=2, lr=1e-3, min_lr=1e-4,
              warmup_steps=2)  # fmt: skip


class StopAt:
    """A stop request that comes once a step is done."""

    def __init__(self, made, step):
        self.made, self.step = made, step

    def __bool__(self):
        return self.made.step >= self.step


def run_of(store, output, **changes):
    return tiny_run(store, output, train=TRAIN, **changes)


def trained_run(store, output, refuse=(), stop=None, **changes):
    """Train, refusing each of the steps `refuse` the first time; the trainer and its events."""
    made, events = trainer(run_of(store, output, **changes)), Events()
    made.callbacks = [events]
    made.stop = StopAt(made, stop) if stop else None
    check, open_ = made.bad.check, set(refuse)

    def refused(loss, step):
        if step in open_:
            open_.remove(step)
            raise BadStepError(f"the loss spikes at step {step}")
        check(loss, step)

    made.bad.check = refused
    made.fit()
    return made, events.seen


def ledger_file(output):
    return json.loads((output / "ledger.json").read_text())


def newest_record(output):
    folder = output / "checkpoints"
    name = (folder / "latest").read_text().strip()
    return json.loads((folder / name / "geo_nemo.json").read_text())


def walked(events, countries):
    """What the last event of each step trained on, by stage, counted from arrays of its batches."""
    found = {}
    for event in {event.step: event for event in events}.values():
        stage = found.setdefault(event.stage.name, {"rows": 0, "padding": 0, "by_country": {}})
        for batch in event.batches:
            stage["rows"] += len(batch.tokens)
            stage["padding"] += int(np.sum(batch.group_ids < 0))
            for sequence in sequences_of(batch):
                walk_sequence(stage["by_country"], sequence, countries)
    return found


def walk_sequence(by_country, sequence, countries):
    for segment in range(sequence.segment_ids.max() + 1):
        here = sequence.segment_ids == segment
        kinds = sequence.label_kinds[here]
        country = countries[sequence.group_ids[here][0]]
        sums = by_country.setdefault(country, dict.fromkeys(LEDGER, 0))
        # Every document of this store has a title, on its first fragment and no other.
        sums["documents"] += int(Kind.TITLE in kinds)
        sums["positions"] += len(kinds)
        sums["text_tokens"] += int(np.isin(kinds, [Kind.TITLE, Kind.BODY]).sum())
        sums["metadata_tokens"] += int((kinds == Kind.METADATA).sum())


def assert_equals_walk(ledger, events, countries):
    expected = walked(events, countries)
    assert list(ledger["stages"]) == list(expected)
    for name, stage in ledger["stages"].items():
        trained = stage["trained"]
        assert {key: trained[key] for key in expected[name]} == expected[name], name
        totals = defaultdict(int)
        for sums in trained["by_country"].values():
            for key, value in sums.items():
                totals[key] += value
        assert {key: trained[key] for key in LEDGER} == totals


@pytest.fixture(scope="module")
def undisturbed(tiny_store, tmp_path_factory, single_process):
    """A finished run of eight steps: its output, events and countries."""
    output = tmp_path_factory.mktemp("undisturbed")
    made, events = trained_run(tiny_store, output)
    return output, events, made.prepared.store.countries


def test_it_equals_a_walk_over_the_batches(undisturbed):
    output, events, countries = undisturbed
    ledger = ledger_file(output)
    assert_equals_walk(ledger, events, countries)
    assert ledger["step"] == STEPS
    assert ledger["notes"] == []
    for stage in ledger["stages"].values():
        assert stage["left_out"]["rows"] == 0
        assert stage["left_out"]["by_country"] == {}
    assert newest_record(output)["ledger"] == ledger
    first = newest_record(output)["config"]["data"]["seq_length"] * 4 * 8
    trained = ledger["stages"]["condition"]["trained"]
    assert trained["positions"] + trained["padding"] == first
    assert trained["metadata_tokens"] > 0
    assert ledger["stages"]["cooldown"]["trained"]["metadata_tokens"] == 0


def test_each_checkpoint_has_that_of_its_step(undisturbed):
    output, events, countries = undisturbed
    record = json.loads((output / "checkpoints" / "step_00000006" / "geo_nemo.json").read_text())
    assert record["ledger"]["step"] == 6
    assert_equals_walk(record["ledger"], [e for e in events if e.step < 6], countries)


def test_stopped_or_killed_and_resumed_it_is_the_same(
    tiny_store, tmp_path, undisturbed, single_process
):
    output = undisturbed[0]
    trained_run(tiny_store, tmp_path, stop=5)
    assert ledger_file(tmp_path)["step"] == 5
    # As after a kill: what was trained since the checkpoint of step 3 is forgotten.
    shutil.rmtree(tmp_path / "checkpoints" / "step_00000005")
    trained_run(tiny_store, tmp_path)
    assert (tmp_path / "ledger.json").read_bytes() == (output / "ledger.json").read_bytes()


def test_a_stage_that_is_over_needs_its_index_no_more(
    tiny_store, tmp_path, undisturbed, single_process
):
    trained_run(tiny_store, tmp_path, stop=5)
    prepared = prepare(run_of(tiny_store, tmp_path), world_size=1)
    ledger = Ledger(prepared)
    ledger.load_state_dict(newest_record(tmp_path)["ledger"])
    entry = ledger.at(STEPS)["stages"]
    assert list(prepared.indices) == ["cooldown"]
    assert entry == ledger_file(undisturbed[0])["stages"]


@pytest.mark.parametrize("data_parallel", [2, 4])
def test_any_number_of_ranks_has_the_same(tiny_store, tmp_path, undisturbed, data_parallel):
    run = run_of(tiny_store, tmp_path)
    prepared = prepare(run, world_size=data_parallel)
    assert Ledger(prepared).at(STEPS) == ledger_file(undisturbed[0])


@pytest.mark.parametrize("policy", ["skip", "rewind"])
def test_what_is_left_out_is_told_apart_and_noted(tiny_store, tmp_path, undisturbed, policy):
    settings = BadSteps(policy=policy, rewind_steps=1 if policy == "rewind" else 0)
    made, events = trained_run(tiny_store, tmp_path, refuse=[1, 5][policy == "rewind" :],
                               bad_steps=settings)  # fmt: skip
    ledger, countries = ledger_file(tmp_path), made.prepared.store.countries
    out = {"skip": [1, 5], "rewind": [4, 5]}[policy]
    taken = [event for event in events if event.step not in out]
    assert_equals_walk(ledger, taken, countries)
    whole = walked(undisturbed[1], countries)
    gone = walked([event for event in undisturbed[1] if event.step in out], countries)
    for name, stage in ledger["stages"].items():
        away = gone.get(name, {"rows": 0, "padding": 0, "by_country": {}})
        assert {key: stage["left_out"][key] for key in away} == away
        assert stage["trained"]["rows"] + away["rows"] == whole[name]["rows"]
    note = {"step": 5, "stage": "cooldown", "reason": "the loss spikes at step 5",
            "action": policy, "left_out": [5]}  # fmt: skip
    if policy == "rewind":
        assert ledger["notes"] == [note | {"left_out": [4, 5], "back_to_step": 3}]
    else:
        assert ledger["notes"][1] == note
        assert [each["step"] for each in ledger["notes"]] == [1, 5]
    assert newest_record(tmp_path)["ledger"] == ledger


def test_notes_of_a_rewind_survive_a_second_one_and_a_resume(tiny_store, tmp_path, single_process):
    settings = {"bad_steps": BadSteps(policy="rewind")}
    trained_run(tiny_store, tmp_path, refuse=[4, 7], **settings)
    ledger = ledger_file(tmp_path)
    assert [(note["step"], note["back_to_step"]) for note in ledger["notes"]] == [(4, 3), (7, 6)]
    os.remove(tmp_path / "ledger.json")
    trained_run(tiny_store, tmp_path, **settings)
    assert ledger_file(tmp_path) == ledger
    shutil.rmtree(tmp_path / "checkpoints" / "step_00000008")
    trained_run(tiny_store, tmp_path, refuse=[7], **settings)
    assert ledger_file(tmp_path) == ledger


def test_a_ledger_of_before_there_were_stages_in_it_is_counted_anew(tiny_store, tmp_path):
    prepared = prepare(run_of(tiny_store, tmp_path), world_size=1)
    fresh, restored = Ledger(prepared), Ledger(prepared)
    restored.load_state_dict({"condition": {"gb": {"documents": 3}}})
    assert restored.at(STEPS) == fresh.at(STEPS)
