"""A stage whose tokens weigh something: its loss is the oracle's, and a stop changes no bit."""

import json

import numpy as np
import pytest

from geo_nemo.config import MetadataPolicy, Stage
from geo_nemo.metadata.record import Kind
from tests.support.runs import Events, assert_of_the_oracle, assert_same_weights, deterministic
from tests.support.tiny import tiny_run

APPENDED = MetadataPolicy(
    cut="whole", position="append", loss_weights={"metadata": 0.3, "title": 0.5}
)
STAGES = {"condition": Stage(fraction=1.0, metadata=APPENDED)}


def trained(store, output, stop=None):
    return deterministic(tiny_run(store, output, stages=STAGES), stop)


def test_appended_metadata_have_their_own_weight_in_the_loss_and_resume(
    tiny_store, tmp_path, single_process
):
    made, events = trained(tiny_store, tmp_path / "whole")
    batches = events[-1].batches
    weigh = {Kind.METADATA: 0.3, Kind.LABEL: 0, Kind.TITLE: 0.5, Kind.BODY: 1, Kind.EOS: 1}
    kinds = np.concatenate([batch.label_kinds.ravel() for batch in batches])
    mask = np.concatenate([batch.loss_mask.ravel() for batch in batches])
    for kind, weight in weigh.items():
        assert kind in kinds
        assert (mask[kinds == kind] == np.float32(weight)).all(), kind
    assert_of_the_oracle(made, batches)

    trained(tiny_store, tmp_path / "stopped", stop=3)
    resumed, later = trained(tiny_store, tmp_path / "stopped")
    assert [event.report.loss for event in later] == [event.report.loss for event in events[3:]]
    assert_same_weights(made, resumed)


def test_a_line_of_the_metrics_tells_the_weight_of_what_was_trained(
    tiny_store, tmp_path, single_process
):
    from geo_nemo.train.build import build_trainer

    made = build_trainer(tiny_run(tiny_store, tmp_path, stages=STAGES))
    events = Events()
    made.callbacks = [*made.callbacks, events]
    made.fit()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line, event in zip(lines, events.seen, strict=True):
        masks = [batch.loss_mask.astype(float) for batch in event.batches]
        assert line["trained_tokens"] == sum((mask > 0).sum() for mask in masks)
        assert line["trained_weight"] == pytest.approx(sum(mask.sum() for mask in masks))
