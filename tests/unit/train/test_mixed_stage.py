"""A stage of several texts: behind metadata, in the template without any, and plain.

Its loss is the oracle's, a stop in its middle changes no bit, and its accounting is a walk's.
"""

import json
import shutil

import numpy as np
import pytest

from geo_nemo.config import MetadataPolicy, Stage, Train
from geo_nemo.data.batches import Batch, sequences_of
from geo_nemo.data.dropout import SHOWN, kept_fields, shown
from geo_nemo.data.index.read import FILES, LEDGER, record_check
from geo_nemo.metadata.record import Kind
from geo_nemo.train.ledger import Ledger
from geo_nemo.train.setup import prepare
from tests.support.runs import assert_of_the_oracle, assert_same_weights, deterministic
from tests.support.tiny import tiny_run

MIXED = MetadataPolicy(cut="whole", dropout=0.2, plain_dropout=0.4, field_dropout={"country": 0.5})
STEPS, STOP = 8, 6
TRAIN = Train(steps=STEPS, global_batch_size=8, micro_batch_size=2, lr=1e-3, min_lr=1e-4,
              warmup_steps=2)  # fmt: skip
STAGES = {
    "condition": Stage(fraction=0.5, metadata=MetadataPolicy(cut="whole")),
    "cooldown": Stage(fraction=0.5, metadata=MIXED),
}


def run_of(store, output, **changes):
    checkpoint = {"every_steps": 3, "keep_last": 9}
    settings = {"train": TRAIN, "stages": STAGES, "checkpoint": checkpoint} | changes
    return tiny_run(store, output, **settings)


@pytest.fixture(scope="module")
def whole(tiny_store, tmp_path_factory, single_process):
    output = tmp_path_factory.mktemp("mixed")
    return output, *deterministic(run_of(tiny_store, output))


def way_of(kinds) -> str:
    if Kind.METADATA in kinds:
        return "localization with metadata"
    return "localization without" if Kind.LABEL in kinds else "plain without"


def walked(events, stage):
    """Counted by template from the arrays of the batches."""
    found = {}
    for event in events:
        if event.stage.name != stage:
            continue
        for sequence in (sequence for batch in event.batches for sequence in sequences_of(batch)):
            for segment in range(sequence.segment_ids.max() + 1):
                kinds = sequence.label_kinds[sequence.segment_ids == segment]
                sums = found.setdefault(way_of(kinds), dict.fromkeys(LEDGER, 0))
                sums["documents"] += int(Kind.TITLE in kinds)
                sums["positions"] += len(kinds)
                sums["text_tokens"] += int(np.isin(kinds, [Kind.TITLE, Kind.BODY]).sum())
                sums["metadata_tokens"] += int((kinds == Kind.METADATA).sum())
    return found


def test_accounting_by_template_is_that_of_a_walk(whole):
    output, _, events = whole
    stages = json.loads((output / "ledger.json").read_text())["stages"]
    for name, stage in stages.items():
        assert stage["trained"]["templates"] == walked(events, name), name
    assert list(stages["condition"]["trained"]["templates"]) == ["localization with metadata"]
    ways = stages["cooldown"]["trained"]["templates"]
    assert len(ways) == 3
    assert all(sums["documents"] > 0 for sums in ways.values())
    for key in LEDGER:
        total = sum(sums[key] for sums in ways.values())
        assert total == stages["cooldown"]["trained"][key]


def test_an_index_without_these_sums_is_read_and_counted(whole, tiny_store, tmp_path):
    """As every index was before a stage had more than one text."""
    output = whole[0]
    shutil.copytree(output / "index", tmp_path / "index")
    for file in (tmp_path / "index").glob("*/index.json"):
        record = json.loads(file.read_text())
        del record["files"]["shown.bin"], record["check"]
        file.write_text(json.dumps(record | {"check": record_check(record)}))
        (file.parent / "shown.bin").unlink()
    prepared = prepare(run_of(tiny_store, tmp_path), world_size=1)
    assert Ledger(prepared).at(STEPS) == json.loads((output / "ledger.json").read_text())
    names = {path.name for path in (tmp_path / "index").glob("*/*")}
    assert names == {*FILES[:-1], "index.json"}


def test_stopped_in_its_middle_it_goes_on_bit_for_bit(whole, tiny_store, tmp_path):
    output, made, events = whole
    deterministic(run_of(tiny_store, tmp_path), stop=STOP)
    resumed, later = deterministic(run_of(tiny_store, tmp_path))
    assert [event.step for event in later] == [STOP, STOP + 1]
    for event, expected in zip(later, events[STOP:], strict=True):
        for batch, other in zip(event.batches, expected.batches, strict=True):
            assert np.array_equal(batch.tokens, other.tokens)
            assert np.array_equal(batch.loss_mask, other.loss_mask)
        assert event.report.loss == expected.report.loss
    assert_same_weights(made, resumed)
    assert (tmp_path / "ledger.json").read_bytes() == (output / "ledger.json").read_bytes()


def test_its_loss_and_gradients_are_those_of_the_oracle(whole):
    _, made, events = whole
    batches: list[Batch] = events[-1].batches
    ways = {way_of(sequence.label_kinds[sequence.segment_ids == segment])
            for batch in batches for sequence in sequences_of(batch)
            for segment in range(sequence.segment_ids.max() + 1)}  # fmt: skip
    assert len(ways) == 3
    assert_of_the_oracle(made, batches)


def test_fractions_are_those_asked_for_and_plain_text_takes_none_of_the_others():
    documents = np.arange(20_000)
    without = MetadataPolicy(dropout=0.2)
    mixed = MetadataPolicy(dropout=0.2, plain_dropout=0.3)
    ways = shown(mixed, kept_fields(mixed, 5, 0, documents))
    found = np.bincount(ways, minlength=len(SHOWN)) / len(documents)
    # Five standard deviations of a binomial share.
    assert np.abs(found - [0.5, 0.2, 0.3]).max() < 5 * np.sqrt(0.25 / len(documents))
    before = shown(without, kept_fields(without, 5, 0, documents))
    assert np.array_equal(before == 1, ways == 1)


@pytest.mark.parametrize("fields", [0, 7, 8, 9, 32, 33, 63])
def test_plain_text_has_a_bit_of_its_own_beside_any_number_of_fields(fields):
    policy = MetadataPolicy(fields=[f"f{n}" for n in range(fields)], plain_dropout=0.5)
    ways = shown(policy, kept_fields(policy, 5, 0, np.arange(400)))
    assert set(ways.tolist()) == ({0, 2} if fields else {1, 2})


def test_fractions_above_one_and_a_field_too_many_are_one_line():
    with pytest.raises(ValueError, match=r"0.6 and plain_dropout 0.5 add up to more than 1"):
        MetadataPolicy(dropout=0.6, plain_dropout=0.5)
    with pytest.raises(ValueError, match="plain_dropout goes with at most 63 fields"):
        MetadataPolicy(fields=[f"f{n}" for n in range(64)], plain_dropout=0.5)
