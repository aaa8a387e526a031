"""Stages of other sequences and batches: exact against the oracle, in resume, in accounting."""

import json

import numpy as np
import pytest

from geo_nemo.config import Data, MetadataPolicy, Stage, Train, UserError
from geo_nemo.config.stage_sizes import document_fractions, taken_samples, taken_tokens
from geo_nemo.data.batches import sequences_of
from geo_nemo.train.plan import Assumptions, make_plan
from geo_nemo.train.setup import prepare
from geo_nemo.train.stage_steps import plan_stages
from tests.support.runs import assert_of_the_oracle, assert_same_weights, deterministic
from tests.support.tiny import NO_METADATA, tiny_run

TRAIN = Train(steps=8, global_batch_size=8, micro_batch_size=2, lr=1e-3, min_lr=1e-4,
              warmup_steps=2)  # fmt: skip
# Short sequences, then long ones in ever larger batches.
STAGES = {
    "short": Stage(fraction=0.5, metadata=MetadataPolicy(), seq_length=64, global_batch_size=16),
    "long": Stage(fraction=0.25, metadata=MetadataPolicy()),
    "ramp": Stage(fraction=0.25, metadata=NO_METADATA, global_batch_size=12, micro_batch_size=3),
}
SHAPES = {"short": (16, 64, 2), "long": (8, 128, 2), "ramp": (12, 128, 3)}
STOP = 5


def run_of(store, output, **changes):
    settings = {"train": TRAIN, "stages": STAGES, "checkpoint": {"every_steps": 3}}
    return tiny_run(store, output, **settings | changes)


@pytest.fixture(scope="module")
def whole(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("sizes")
    return output, *deterministic(run_of(tiny_store, output))


def test_every_step_has_the_sizes_of_its_stage(whole):
    _, _, events = whole
    assert [event.stage.name for event in events] == ["short"] * 4 + ["long"] * 2 + ["ramp"] * 2
    for event in events:
        size, length, micro = SHAPES[event.stage.name]
        assert {batch.tokens.shape for batch in event.batches} == {(micro, length)}
        assert sum(len(batch.tokens) for batch in event.batches) == size
        assert event.positions == size * length


def test_loss_and_gradients_of_each_stage_are_the_oracle_s(whole):
    """Of a separate model with the same weights, in plain PyTorch and double precision."""
    _, made, events = whole
    for event in (events[0], events[4], events[7]):
        assert_of_the_oracle(made, event.batches)


def test_stopped_in_the_middle_of_a_stage_it_goes_on_bit_for_bit(whole, tiny_store, tmp_path):
    output, made, events = whole
    deterministic(run_of(tiny_store, tmp_path), stop=STOP)
    resumed, later = deterministic(run_of(tiny_store, tmp_path))
    assert [event.step for event in later] == list(range(STOP, 8))
    for event, expected in zip(later, events[STOP:], strict=True):
        for batch, other in zip(event.batches, expected.batches, strict=True):
            assert np.array_equal(batch.tokens, other.tokens)
        assert event.report.loss == expected.report.loss
    assert_same_weights(made, resumed)
    assert (tmp_path / "ledger.json").read_bytes() == (output / "ledger.json").read_bytes()


def test_accounting_counts_each_stage_in_its_own_sizes(whole):
    output, made, events = whole
    stages = json.loads((output / "ledger.json").read_text())["stages"]
    for name, (size, length, _) in SHAPES.items():
        mine = [event for event in events if event.stage.name == name]
        entry = stages[name]["trained"]
        assert entry["rows"] == size * len(mine)
        assert entry["padding"] + entry["positions"] == size * length * len(mine)
        filled = sum(
            int((sequence.group_ids >= 0).sum())
            for event in mine for batch in event.batches for sequence in sequences_of(batch)
        )  # fmt: skip
        assert entry["positions"] == filled
    tokens = 4 * 16 * 64 + 2 * 8 * 128 + 2 * 12 * 128
    assert taken_tokens(made.run, 8) == tokens
    assert [taken_tokens(made.run, step) for step in (0, 3, 5)] == [0, 3072, 4096 + 1024]
    assert taken_samples(made.run, 8) == 4 * 16 + 2 * 8 + 2 * 12
    newest = (output / "checkpoints" / "latest").read_text().strip()
    record = json.loads((output / "checkpoints" / newest / "geo_nemo.json").read_text())
    assert record["stage_samples"] == {"short": 64, "long": 16, "ramp": 24}


def test_a_plan_tells_the_tokens_of_the_largest_step(tiny_store, tmp_path):
    plan = make_plan(run_of(tiny_store, tmp_path), 640, 1, Assumptions())
    assert [stage.tokens // stage.steps for stage in plan.stages] == [1024, 1024, 1536]
    assert plan.tokens_per_step == 1536


def test_documents_are_shared_out_by_tokens(tiny_store, tmp_path):
    run = run_of(tiny_store, tmp_path)
    assert document_fractions(run) == pytest.approx([4096 / 9216, 2048 / 9216, 3072 / 9216])
    plain = tiny_run(tiny_store, tmp_path)
    assert document_fractions(plain) == [stage.fraction for stage in plain.stages.values()]
    documents = {stage.name: prepare(run, 1).dataset(stage) for stage in plan_stages(run)}
    counts = {name: dataset.num_documents for name, dataset in documents.items()}
    total = sum(counts.values())
    for (name, count), fraction in zip(counts.items(), document_fractions(run), strict=True):
        # Strata are countries, each rounded by less than one document a stage.
        assert abs(count - fraction * total) < len(run.stages) * 20, name


def test_lengths_in_tokens_are_those_of_each_stage_s_steps(tiny_store, tmp_path):
    stages = {
        "short": {"tokens": 4096, "metadata": {}, "seq_length": 64},
        "long": {"tokens": 4096, "metadata": {}},
    }
    run = run_of(tiny_store, tmp_path, stages=stages, train=TRAIN.model_dump(),
                 data=Data(store="s", seq_length=128).model_dump())  # fmt: skip
    assert [(p.name, p.steps) for p in plan_stages(run)] == [("short", 8), ("long", 4)]


def test_sizes_are_in_the_fingerprint_where_they_are_set(tiny_store, tmp_path):
    found = prepare(run_of(tiny_store, tmp_path), 1).fingerprint
    names = {n: v for n, v in found.items() if n.endswith(("seq_length", "global_batch_size"))}
    assert names == {
        "data.seq_length": "128", "train.global_batch_size": "8", "stages.short.seq_length": "64",
        "stages.short.global_batch_size": "16", "stages.ramp.global_batch_size": "12",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"global_batch_size": 9}, "stage other, with sizes of its own: train.global_batch_size=9"),
        ({"micro_batch_size": 3}, "stage other, with sizes of its own: train.global_batch_size=8"),
    ],
)
def test_a_batch_that_the_ranks_cannot_divide_is_one_line(sizes, words, tiny_store, tmp_path):
    stages = {
        "one": Stage(fraction=0.5, metadata=NO_METADATA),
        "other": Stage(fraction=0.5, metadata=NO_METADATA, **sizes),
    }
    with pytest.raises(UserError, match=words):
        prepare(run_of(tiny_store, tmp_path, stages=stages), 1)


def test_a_stage_longer_than_the_run_s_sequences_is_one_line(tmp_path):
    stages = {"one": Stage(fraction=1, metadata=NO_METADATA, seq_length=256)}
    with pytest.raises(ValueError, match=r"above data.seq_length 128: give data.seq_length=256"):
        run_of("s", tmp_path, stages=stages)
