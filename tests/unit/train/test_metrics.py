"""metrics.jsonl: a line a logged step, true to the batches, whole after any kill."""

import json

import numpy as np
import pytest
import torch

from geo_nemo.config import Logging
from geo_nemo.data.batches import BatchStream
from geo_nemo.train.callbacks import Metrics, digest
from geo_nemo.train.setup import prepare
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.runs import Events, finished, trainer
from tests.support.tiny import tiny_run


def lines(path):
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def metrics_of(made, logging=None, kind=Metrics):
    run = made.run.model_copy(update={"logging": logging}) if logging else made.run
    groups, vocab_size = made.prepared.groups, made.prepared.tokenizer.vocab_size
    path = made.directory.parent / "metrics.jsonl"
    return kind(path, run, groups, vocab_size, made.engine)


def test_loss_by_country_equals_the_oracle_s_and_absent_countries_are_absent(
    tiny_store, tmp_path, single_process
):
    made = trainer(tiny_run(tiny_store, tmp_path))
    initial = {n: w.detach().double() for n, w in made.engine.module.named_parameters()}
    made.callbacks = [metrics_of(made)]
    made.fit()
    first, *_, last = lines(tmp_path / "metrics.jsonl")
    weights = [w.detach().double().numpy() for w in made.engine.module.parameters()]
    squares = sum(float((weight**2).sum()) for weight in weights)
    assert last["param_norm"] == pytest.approx(squares**0.5, rel=1e-12)
    assert "mfu" not in first

    prepared = prepare(made.run, world_size=1)
    batches = next(BatchStream(prepared.dataset(prepared.stages[0]), 8, 2, 0, 1, prefetch=0))
    loss, _, nll = batch_loss_and_gradients(initial, made.run.model, batches)
    nll = nll.numpy()
    mask = np.concatenate([b.loss_mask.ravel() for b in batches]) > 0
    sources = np.concatenate([b.group_ids.ravel() for b in batches])
    expected = {
        country: nll[mask & (sources == index)].mean()
        for index, country in enumerate(prepared.store.countries)
        if (mask & (sources == index)).any()
    }
    assert first["loss"] == pytest.approx(loss, rel=1e-6)
    assert first["trained_tokens"] == mask.sum()
    assert first["loss_by_country"] == pytest.approx(expected, rel=1e-6)
    assert len(expected) >= 2
    assert first["batch_digest"] == digest(batches)
    assert (first["step"], first["stage"], first["consumed_samples"]) == (0, "condition", 8)


def test_a_country_that_a_step_does_not_see_has_no_value(tiny_store, tmp_path, single_process):
    """Counts of 0 would be 0/0; the line must stay JSON, which knows no NaN."""
    made = trainer(tiny_run(tiny_store, tmp_path))
    events = Events()
    made.callbacks = [events]
    made.fit()
    metrics = metrics_of(made)
    event = events.seen[0]
    metrics.times.add(event)
    seen = int(event.report.counts.nonzero()[0])
    event.report.counts[:seen] = event.report.counts[seen + 1 :] = 0
    event.report.weights[:seen] = event.report.weights[seen + 1 :] = 0
    event.report.sums[:seen] = event.report.sums[seen + 1 :] = 0
    line = metrics._line(event, 1.0, {})
    assert list(line["loss_by_country"]) == [made.prepared.store.countries[seen]]
    json.dumps(line, allow_nan=False)


def test_only_every_nth_step_and_the_last_one_are_logged(tiny_store, tmp_path, single_process):
    made = trainer(tiny_run(tiny_store, tmp_path))
    made.callbacks = [metrics_of(made, Logging(every_steps=4))]
    made.fit()
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [3, 5]


@pytest.mark.parametrize(
    "tail",
    [
        b'{"step": 3, "los',
        b"\0\0\0\0",
        b"\xff\xfe\n",
        b"7\n",
        b"{}\n",
        b'{"step": "3"}\n',
        b'{"step": 5, "loss": 1}\n{"step": 6, "lo',
        b"",
    ],
    ids=["cut off", "zeros", "not UTF-8", "a number", "no step", "a text", "two", "nothing"],
)
def test_steps_that_are_taken_again_and_a_line_that_was_cut_off_go(
    tiny_store, tmp_path, single_process, tail
):
    path = tmp_path / "metrics.jsonl"
    kept = b"".join(b'{"step": %d, "loss": 2.5}\n' % step for step in range(5))
    path.write_bytes(kept + tail)
    metrics = metrics_of(trainer(tiny_run(tiny_store, tmp_path)))
    metrics.on_start(3)
    metrics.on_end()
    assert path.read_bytes() == b"".join(kept.splitlines(keepends=True)[:3])
    assert [item.name for item in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_resumed_run_has_each_step_once(tiny_store, tmp_path, single_process):
    import shutil

    for _ in range(2):
        made = trainer(tiny_run(tiny_store, tmp_path))
        made.callbacks = [metrics_of(made)]
        made.fit()
        shutil.rmtree(made.directory / "step_00000006")
        made = None
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == list(range(6))


def test_the_loss_of_the_line_is_finite_and_falls(tiny_store, tmp_path, single_process):
    events = Events()
    finished(tiny_store, tmp_path, [events])
    losses = [event.report.loss for event in events.seen]
    assert torch.tensor(losses).isfinite().all()
    assert losses[-1] < losses[0]


def test_a_disk_that_is_full_is_a_line_and_the_end_of_the_run_says_no_more(
    tiny_store, tmp_path, single_process
):
    """Python keeps what it could not write, and would fail again when the file is closed."""
    import os

    from geo_nemo.config import UserError

    full = "/dev/full"
    if not os.path.exists(full):
        pytest.skip("no /dev/full here")
    made = trainer(tiny_run(tiny_store, tmp_path))

    class Full(Metrics):
        def on_start(self, step):
            super().on_start(step)
            self.file.close()
            self.file = open(full, "a", buffering=1)  # noqa: SIM115

    made.callbacks = [metrics_of(made, kind=Full)]
    with pytest.raises(UserError, match=r"cannot write .*metrics.jsonl: No space left on device"):
        made.fit()
