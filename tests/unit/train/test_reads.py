"""Which documents a run has read, and in which step: beside its sequences, looked at one by one."""

import json
from collections import Counter

import numpy as np
import pytest

from geo_nemo.config import UserError
from geo_nemo.data.groups import grouping_of
from geo_nemo.data.sequences import Kind
from geo_nemo.data.stage import build_stage_index, indexed_dataset
from geo_nemo.store import TokenStore
from geo_nemo.train import reads
from geo_nemo.train.hosts import trained_hosts
from geo_nemo.train.reads import RunReads, StageReads, read_by
from geo_nemo.train.stage_steps import plan_stages
from tests.support.tiny import tiny_run

LEFT_OUT = [1, 4]
TEXT = (Kind.TITLE, Kind.BODY)


@pytest.fixture(scope="module")
def run(tiny_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reads") / "run"
    folder.mkdir()
    run = tiny_run(tiny_store, folder)
    store = TokenStore.open(tiny_store)
    record = {"config": run.model_dump(mode="json"), "store_hash": store.hash}
    (folder / "run.json").write_text(json.dumps(record))
    return run, folder, store


def by_sequences(run, store, done):
    """(stage, document, step) of all that was taken, from the sequences themselves."""
    split, tokenizer = store.split("train"), store.tokenizer()
    groups = grouping_of(store, run.groups)
    found = set()
    for stage in plan_stages(run):
        index, _ = build_stage_index(run, store.hash, split, tokenizer, stage.name, groups=groups)
        dataset = indexed_dataset(run, split, tokenizer, stage.name, index, groups)
        size = run.train.global_batch_size
        for step in range(stage.first_step, min(done, stage.last_step)):
            if step in LEFT_OUT:
                continue
            first = (step - stage.first_step) * size
            for sample in range(first, first + size):
                found |= {(stage.name, f.document, step) for f in dataset.fragments(sample)}
    return found


@pytest.mark.parametrize("done", [2, 5, 6])
def test_each_reading_is_found_with_its_stage_and_step(run, monkeypatch, done):
    run, folder, store = run
    monkeypatch.setattr(reads, "_checkpoints", lambda _: ({"step_x": done}, LEFT_OUT))
    expected = by_sequences(run, store, done)
    documents = np.arange(0, store.split("train").num_documents, 3)
    found = read_by(folder, store, documents)
    told = {
        (stage.stage, int(document), int(step))
        for stage in found.stages
        for document, step in zip(stage.documents, stage.steps, strict=True)
    }
    assert told == {entry for entry in expected if entry[1] % 3 == 0} != set()


def test_in_pieces_the_same_is_found(run, monkeypatch):
    run, folder, store = run
    monkeypatch.setattr(reads, "_checkpoints", lambda _: ({"step_x": 6}, LEFT_OUT))
    documents = np.arange(50)
    whole = read_by(folder, store, documents)
    monkeypatch.setattr("geo_nemo.data.index.read._COUNTED_AT_ONCE", 7)
    for one, other in zip(whole.stages, read_by(folder, store, documents).stages, strict=True):
        np.testing.assert_array_equal(one.documents, other.documents)
        np.testing.assert_array_equal(one.steps, other.steps)


def test_hosts_and_countries_are_counted_as_a_walk_over_the_sequences_does(run):
    run, _, store = run
    by_sequences(run, store, 6)  # makes the indices
    split, tokenizer, groups = (
        store.split("train"),
        store.tokenizer(),
        grouping_of(store, run.groups),
    )
    expected = Counter()
    for stage in plan_stages(run):
        index, _ = build_stage_index(run, store.hash, split, tokenizer, stage.name, groups=groups)
        dataset = indexed_dataset(run, split, tokenizer, stage.name, index, groups)
        for step in set(range(stage.first_step, min(5, stage.last_step))) - set(LEFT_OUT):
            first = (step - stage.first_step) * run.train.global_batch_size
            for sample in range(first, first + run.train.global_batch_size):
                sequence = dataset[sample]
                fragments = dataset.fragments(sample)
                for number, each in enumerate(fragments):
                    kinds = sequence.label_kinds[sequence.segment_ids == number]
                    key = split.hosts[split.host[each.document]], store.countries[each.country]
                    expected[*key, "documents"] += each.start == 0
                    expected[*key, "text"] += int(np.isin(kinds, TEXT).sum())
    found = trained_hosts(run, store, 5, LEFT_OUT)
    told = Counter()
    for each in found:
        told[each.host, each.country, "documents"] += each.documents
        told[each.host, each.country, "text"] += each.text_tokens
    assert told == expected and sum(each.documents for each in found) > 5
    assert [each.text_tokens for each in found] == sorted(
        (each.text_tokens for each in found), reverse=True
    )
    gone = run.model_copy(update={"output_dir": "/nowhere"})
    assert trained_hosts(gone, store, 5) is None


def test_a_checkpoint_has_seen_what_a_step_before_it_read():
    stage = StageReads("condition", np.array([7]), np.array([4]))
    kept = {"step_4": 4, "step_5": 5}
    assert RunReads("r", 5, kept, (stage,)).seen_by() == ["step_5"]
    assert RunReads("r", 5, kept, ()).seen_by() == []


def test_another_store_and_a_run_without_checkpoints_are_named(run, tmp_path):
    run, folder, store = run
    with pytest.raises(UserError, match="has no checkpoint: it has read nothing that is kept"):
        read_by(folder, store, np.arange(3))
    (tmp_path / "run.json").write_text(json.dumps({"store_hash": "0" * 16, "config": {}}))
    with pytest.raises(UserError, match="was trained on another store"):
        read_by(tmp_path, store, np.arange(3))
