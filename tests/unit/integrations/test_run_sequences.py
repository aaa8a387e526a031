"""Other trainers' loaders get the sequences of our own, stage by stage, with its loss rule."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from torch.utils.data import DataLoader

from geo_nemo.config import Train, UserError
from geo_nemo.data.batches import Batch, BatchStream
from geo_nemo.integrations.job import (
    RECORD,
    keep_to_settings,
    load_job,
    load_run,
    refuse_inexact,
    refuse_unserved,
)
from geo_nemo.integrations.run_sequences import RunSequences, as_batch
from geo_nemo.train.setup import prepare
from tests.support.tiny import build_store, tiny_run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build_store(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def prepared(store, tmp_path_factory):
    return prepare(tiny_run(store, tmp_path_factory.mktemp("run")), world_size=1)


def test_micro_batches_are_those_of_our_trainer_through_both_stages(prepared):
    train = prepared.run.train
    expected = [
        batch
        for stage in prepared.stages
        for step in BatchStream(
            prepared.dataset(stage),
            train.global_batch_size,
            train.micro_batch_size,
            dp_rank=0,
            dp_size=1,
            prefetch=0,
        )
        for batch in step
    ]
    sequences = RunSequences(prepared)
    loader = DataLoader(
        sequences, batch_size=train.micro_batch_size, collate_fn=sequences.collate_fn
    )
    seen = [as_batch(tensors) for tensors in loader]
    assert len(seen) == len(expected) == train.steps * 4
    for ours, theirs in zip(expected, seen, strict=True):
        for field in fields(Batch):
            ours_value, value = getattr(ours, field.name), getattr(theirs, field.name)
            np.testing.assert_array_equal(ours_value, value, field.name)
            assert type(ours_value) is type(value)


def test_the_second_half_has_no_metadata(prepared):
    sequences = RunSequences(prepared)
    border = len(sequences) // 2
    before, after = sequences[border - 1], sequences[border]
    assert before[0] == border - 1
    assert after[0] == 0
    # Under the policy metadata is not trained; without it only the labels before a text are not.
    masked = [float((sequence.loss_mask == 0).mean()) for _, sequence in (before, after)]
    assert masked[0] > masked[1]


@pytest.mark.parametrize("sample", [-1, 48])
def test_there_are_no_sequences_but_the_run_s(prepared, sample):
    with pytest.raises(IndexError, match="of 48"):
        RunSequences(prepared)[sample]


@pytest.mark.parametrize(
    ("per_token", "average", "named"),
    [
        (False, False, "calculate_per_token_loss"),
        (None, False, "calculate_per_token_loss"),
        (True, True, "average_in_collective"),
    ],
)
def test_another_loss_rule_is_refused_in_one_line(per_token, average, named):
    with pytest.raises(UserError, match=named) as caught:
        refuse_inexact(per_token, average)
    assert "\n" not in str(caught.value)
    refuse_inexact(True, False)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"average": {"kind": "ema"}}, "average.kind"),
        ({"callbacks": {"use": ("mine",)}}, "callbacks.use"),
        ({"validation": {"every_steps": 2}}, "validation.every_steps"),
        ({"parallel": {"pipeline": 2}}, "micro_batch_size"),
    ],
)
def test_what_only_our_trainer_serves_is_refused(store, tmp_path, changes, named):
    with pytest.raises(UserError, match=named):
        refuse_unserved(tiny_run(store, tmp_path, **changes), "NeMo")
    one_sequence = Train(steps=6, global_batch_size=8, micro_batch_size=1, warmup_steps=2)
    refuse_unserved(tiny_run(store, tmp_path, parallel={"pipeline": 2}, train=one_sequence), "NeMo")


def test_settings_are_those_of_the_command_line(store, tmp_path):
    settings = ["experiment=demo", f"data.store={store}", f"output_dir={tmp_path}", "train.lr=1e-3"]
    assert load_run(settings).train.lr == 1e-3
    assert load_job(settings) is load_job(tuple(settings))


def test_checkpoints_of_a_trainer_that_keeps_no_settings_are_held_to_them(prepared, tmp_path):
    def keep(job):
        keep_to_settings(job, tmp_path / "bridge", "iter_*")

    other = replace(prepared, fingerprint={**prepared.fingerprint, "seed": "8", "store": "x"})
    keep(other)
    keep(prepared)  # nothing is saved yet: another start may have other settings
    assert json.loads((tmp_path / "bridge" / RECORD).read_text()) == prepared.fingerprint
    (tmp_path / "bridge" / "iter_0000004").mkdir()
    keep(prepared)
    with pytest.raises(UserError, match=r"bridge was made with other settings: .*store.* differ"):
        keep(other)
    # A key that a later version added, as a checkpoint of before lacks it.
    later = {**prepared.fingerprint, "stages.a.brought_fields": "1"}
    keep(replace(prepared, fingerprint=later))
    (tmp_path / "bridge" / RECORD).write_text("[" * 100_000)
    with pytest.raises(UserError, match="is not JSON; give another output_dir"):
        keep(prepared)


def test_of_several_ranks_the_first_alone_writes(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    keep_to_settings(prepared, tmp_path / "bridge", "iter_*")
    assert not (tmp_path / "bridge").exists()
