"""Stages: steps add up, documents are their own, the clock and the optimizer go on."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geo_nemo.config import Checkpoint, MetadataPolicy, Model, Run, Stage, Train
from geo_nemo.data.batches import BatchStream
from geo_nemo.metadata.record import Kind
from geo_nemo.store import TokenStore
from geo_nemo.train.callbacks import digest
from geo_nemo.train.setup import prepare
from geo_nemo.train.stage_steps import plan_stages, stage_of
from tests.support.runs import Events, finished, trainer, weights
from tests.support.tiny import NO_METADATA, tiny_run

MODEL = Model(
    num_layers=1, hidden_size=8, num_attention_heads=1, num_query_groups=1, ffn_hidden_size=8
)


def run_of(fractions, steps) -> Run:
    return Run(
        name="r",
        output_dir="out",
        model=MODEL,
        data={"store": "s"},
        stages={f"s{i}": Stage(fraction=s, metadata=NO_METADATA) for i, s in enumerate(fractions)},
        train=Train(steps=steps, global_batch_size=1, warmup_steps=0),
    )


@st.composite
def fractions_and_steps(draw):
    parts = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=6))
    return [part / sum(parts) for part in parts], draw(st.integers(len(parts), 3000))


@given(fractions_and_steps())
def test_steps_of_all_stages_add_up_and_none_is_empty(drawn):
    fractions, steps = drawn
    plans = plan_stages(run_of(fractions, steps))
    assert plans[0].first_step == 0
    assert plans[-1].last_step == steps
    assert all(a.last_step == b.first_step for a, b in pairwise(plans))
    assert all(plan.steps >= 1 for plan in plans)
    exact = np.cumsum(fractions) * steps
    for plan, border in zip(plans, exact, strict=True):
        # Half a step of rounding, and the steps that stages without a fraction of one take.
        assert abs(plan.last_step - border) <= 0.5 + len(fractions)
    if min(fractions) * steps >= 1:
        assert all(abs(p.last_step - b) <= 0.5 + 1e-9 for p, b in zip(plans, exact, strict=True))
    for step in {0, steps // 2, steps - 1}:
        assert stage_of(plans, step).first_step <= step < stage_of(plans, step).last_step


def test_the_paper_s_stages_at_ten_thousand_steps():
    plans = plan_stages(run_of((0.9, 0.1), 10_000))
    assert [(p.first_step, p.last_step) for p in plans] == [(0, 9000), (9000, 10_000)]


def streamed(prepared, stage):
    """Every sequence of a stage as the trainer reads it, and the dataset that it comes from."""
    dataset = prepared.dataset(stage)
    return dataset, [batch for step in BatchStream(dataset, 8, 2, 0, 1) for batch in step]


def content_hashes(dataset) -> set[int]:
    documents = {
        fragment.document
        for sample in range(len(dataset))
        for fragment in dataset.fragments(sample)
    }
    return {int(dataset.split.content_hash[document]) for document in documents}


def test_the_cooldown_draws_documents_that_the_first_stage_never_saw(tiny_store, tmp_path):
    long = Train(steps=240, global_batch_size=8, micro_batch_size=2, warmup_steps=2)
    prepared = prepare(tiny_run(tiny_store, tmp_path, train=long), world_size=1)
    seen = [content_hashes(prepared.dataset(stage)) for stage in prepared.stages]
    assert not seen[0] & seen[1]
    # More than an epoch of each half of the store, so this is all that they can ever draw.
    everything = set(map(int, TokenStore.open(tiny_store).split("train").content_hash))
    assert seen[0] | seen[1] == everything


def test_no_token_of_metadata_is_in_a_sequence_of_the_cooldown(tiny_store, tmp_path):
    prepared = prepare(tiny_run(tiny_store, tmp_path), world_size=1)
    tokenizer = prepared.tokenizer
    _, conditioned = streamed(prepared, prepared.stages[0])
    _, cooled = streamed(prepared, prepared.stages[1])
    assert len(conditioned) == len(cooled) == 12
    assert any((batch.label_kinds == Kind.METADATA).any() for batch in conditioned)
    for batch in cooled:
        assert not (batch.label_kinds == Kind.METADATA).any()
        for sequence in batch.tokens:
            assert not re.search("URL:|COUNTRY:|CONTINENT:", tokenizer.decode(sequence.tolist()))
    text = tokenizer.decode(conditioned[0].tokens[0].tolist())
    assert re.search("URL:.*\nCOUNTRY:.*\nCONTINENT:", text)


def linear_then_cosine(step, train):
    """Linear from 0 over the warm-up; then half a cosine down to min_lr at `steps`."""
    if step < train.warmup_steps:
        return train.lr * step / train.warmup_steps
    done = (step - train.warmup_steps) / (train.steps - train.warmup_steps)
    return train.min_lr + (train.lr - train.min_lr) * (1 + math.cos(math.pi * done)) / 2


def test_the_clock_of_the_learning_rate_runs_through_all_stages(
    tiny_store, tmp_path, single_process
):
    events = Events()
    made = finished(tiny_store, tmp_path, [events])
    stages = [event.stage.name for event in events.seen]
    assert stages == ["condition"] * 3 + ["cooldown"] * 3
    train = made.run.train
    for step, event in enumerate(events.seen):
        assert event.report.lr == pytest.approx(linear_then_cosine(step, train), rel=1e-12)
    rates = [event.report.lr for event in events.seen]
    assert rates[0] == 0
    assert rates[2] == train.lr  # the end of the warm-up lies in the first stage
    assert rates[3] < rates[2]


def test_the_optimizer_s_state_is_carried_into_the_next_stage(tiny_store, tmp_path, single_process):
    """AdamW's steps count on, and its moments at the cooldown's first step are those before it."""
    watched = {}

    class Watch(Events):
        def on_step(self, event):
            (inner,) = (o.optimizer for o in made.engine.optimizer.chained_optimizers)
            steps = {g["step"] for g in inner.param_groups if g["params"]}
            moments = [s["exp_avg_sq"].clone() for s in inner.state.values()]
            gradients = [p.grad.clone() for g in inner.param_groups for p in g["params"]]
            watched[event.step] = steps, moments, gradients

    made = trainer(tiny_run(tiny_store, tmp_path), [Watch()])
    made.fit()
    assert [watched[step][0] for step in range(6)] == [{1}, {2}, {3}, {4}, {5}, {6}]
    beta2 = made.run.train.adam_beta2
    for before, after, gradient in zip(watched[2][1], watched[3][1], watched[3][2], strict=True):
        expected = beta2 * before.double() + (1 - beta2) * gradient.double() ** 2
        assert torch.allclose(after.double(), expected, rtol=1e-5, atol=1e-30)
        assert before.any()


def test_a_run_that_ends_in_the_cooldown_resumes_in_the_cooldown(
    tiny_store, tmp_path, single_process
):
    events = Events()
    whole = finished(tiny_store, tmp_path / "whole", [events])

    class Killed(Events):
        def on_step(self, event):
            super().on_step(event)
            if event.step == 4:
                raise KeyboardInterrupt

    changes = {"checkpoint": Checkpoint(every_steps=1, async_save=False)}
    with pytest.raises(KeyboardInterrupt):
        trainer(tiny_run(tiny_store, tmp_path, **changes), [Killed()]).fit()
    rest = Events()
    again = finished(tiny_store, tmp_path, [rest], **changes)
    assert [(e.step, e.stage.name) for e in rest.seen] == [(4, "cooldown"), (5, "cooldown")]
    for here, there in zip(rest.seen, events.seen[4:], strict=True):
        assert digest(here.batches) == digest(there.batches)
        assert here.consumed_samples == there.consumed_samples
        assert here.report.loss == there.report.loss
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(again)[name]), name


def test_a_switch_of_stage_that_falls_on_a_checkpoint_starts_the_cooldown_afresh(
    tiny_store, tmp_path, single_process
):
    """The checkpoint of step 3 is the last of the first stage and the start of the second."""
    finished(tiny_store, tmp_path)
    import shutil

    shutil.rmtree(tmp_path / "checkpoints" / "step_00000006")
    rest = Events()
    finished(tiny_store, tmp_path, [rest])
    assert [(e.step, e.stage.name, e.consumed_samples) for e in rest.seen] == [
        (3, "cooldown", 8),
        (4, "cooldown", 16),
        (5, "cooldown", 24),
    ]


def test_stages_with_and_without_metadata_have_their_policies(tiny_store, tmp_path):
    stages = prepare(tiny_run(tiny_store, tmp_path), world_size=1).stages
    assert [stage.policy for stage in stages] == [MetadataPolicy(), NO_METADATA]
