"""A loss or gradient that is not finite ends the run, says where, and changes nothing."""

import numpy as np
import pytest
import torch

from geo_nemo.config import RunError, Train
from geo_nemo.train.engine import Engine
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.batches import ragged_batches
from tests.support.runs import finished, trainer, weights
from tests.support.tiny import tiny_run

VOCAB_SIZE = 640
CPU = torch.device("cpu")


@pytest.fixture
def engine(single_process):
    return Engine(tiny_run("store", "out"), VOCAB_SIZE, 3, CPU)


def batches(fractions=(0.5, 0.5, 0.5)):
    return ragged_batches(seed=5, vocab_size=VOCAB_SIZE, fractions=fractions)


def snapshot(engine):
    inner = [o.optimizer for o in engine.optimizer.chained_optimizers]
    state = [v.clone() for o in inner for s in o.state.values() for v in s.values()]
    return [w.detach().clone() for w in engine.module.parameters()] + state


def assert_unchanged(engine, before):
    for here, there in zip(snapshot(engine), before, strict=True):
        assert torch.equal(here.nan_to_num(7, 8, 9), there.nan_to_num(7, 8, 9))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_weight_is_named_by_step_rank_micro_batch_and_samples(engine, value):
    engine.train_step(batches(), step=0)
    engine.train_step(batches(), step=1)
    with torch.no_grad():
        engine.module.decoder.layers[1].mlp.linear_fc2.weight[3, 4] = value
    before, clock = snapshot(engine), engine.schedule.num_steps
    expected = r"the loss is not finite at step 2, rank 0, micro-batch 0 \(samples \[0, 1\]\); "
    with pytest.raises(RunError, match=expected):
        engine.train_step(batches(), step=2)
    assert_unchanged(engine, before)
    assert engine.schedule.num_steps == clock


def test_the_micro_batch_that_is_poisoned_is_the_one_that_is_named(engine):
    """One token has a weight row that is not finite, and only micro-batch 2 holds that token."""
    poisoned = batches()
    for batch in poisoned:
        batch.tokens[batch.tokens == 77] = 78
    poisoned[2].tokens[0, 0] = 77
    poisoned[2].loss_mask[0, : poisoned[2].cu_seqlens[1]] = 1
    with torch.no_grad():
        engine.module.embedding.word_embeddings.weight[77] = float("nan")
    before = snapshot(engine)
    expected = r"the loss is not finite at step 9, rank 0, micro-batch 2 \(samples \[4, 5\]\); "
    with pytest.raises(RunError, match=expected):
        engine.train_step(poisoned, step=9)
    assert_unchanged(engine, before)


def masked_nan(engine, batch):
    """The bad token stands alone in a document without a trained label: the loss never sees it."""
    end = batch.cu_seqlens[1]
    batch.tokens[0, :end] = 77
    batch.loss_mask[0, :end] = 0
    with torch.no_grad():
        engine.module.embedding.word_embeddings.weight[77] = float("nan")


def test_a_gradient_that_is_not_finite_is_named_too(engine):
    poisoned = batches()
    for batch in poisoned:
        batch.tokens[batch.tokens == 77] = 78
    masked_nan(engine, poisoned[1])
    before = snapshot(engine)
    expected = (
        r"the gradient norm is nan at step 4, though the loss is finite: rank 0, micro-batch 1 "
        r"\(samples \[2, 3\]\); "
    )
    with pytest.raises(RunError, match=expected):
        engine.train_step(poisoned, step=4)
    assert_unchanged(engine, before)


def test_gradients_that_overflow_only_in_their_sum_are_said_to(engine, monkeypatch):
    monkeypatch.setattr("geo_nemo.train.engine.squared_norm", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(
        RunError, match=r"is inf at step 4.*: in no micro-batch alone, but in their"
    ):
        engine.train_step(batches(), step=4)


def test_the_search_for_bad_gradients_leaves_the_engine_as_it_was(engine):
    """The next step's gradients are those of an engine that never searched."""
    engine._bad_gradients(batches())
    engine.zero_gradients()
    engine.forward_backward(batches())
    model = tiny_run("store", "out").model
    exact = {name: w.detach().double() for name, w in engine.module.named_parameters()}
    _, expected, _ = batch_loss_and_gradients(exact, model, batches())
    for name, w in engine.module.named_parameters():
        assert (w.main_grad.double() - expected[name]).abs().max() <= 1e-6, name


def test_a_batch_without_a_trained_token_has_loss_zero_and_only_decay_moves_weights(single_process):
    """AdamW with gradient 0 and moments 0: w (1 - lr wd); norms are not decayed."""
    train = Train(
        steps=9, global_batch_size=6, lr=0.1, min_lr=0.1, warmup_steps=0, weight_decay=0.5
    )
    engine = Engine(tiny_run("store", "out", train=train), VOCAB_SIZE, 3, CPU)
    before = {name: w.detach().clone() for name, w in engine.module.named_parameters()}
    report = engine.train_step(batches(fractions=(0.0, 0.0, 0.0)), step=0)
    assert (report.loss, report.trained_tokens, report.grad_norm) == (0.0, 0, 0.0)
    assert report.lr == 0.1
    for name, weight in engine.module.named_parameters():
        decay = 1.0 if weight.ndim == 1 else 1 - 0.1 * 0.5
        assert torch.allclose(weight, before[name] * decay, rtol=1e-6, atol=0), name


def test_a_run_that_fails_keeps_its_checkpoints_and_logs_no_bad_step(
    tiny_store, tmp_path, single_process
):
    """A run of six steps whose weights go bad after the checkpoint of step 3."""
    failing = trainer(tiny_run(tiny_store, tmp_path), [Poison(at_step=4)])
    failing.callbacks[0].trainer = failing
    with pytest.raises(RunError, match="not finite at step 5, rank 0"):
        failing.fit()
    assert sorted(p.name for p in failing.directory.iterdir()) == ["latest", "step_00000003"]
    whole = finished(tiny_store, tmp_path / "whole")
    again = finished(tiny_store, tmp_path)
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(again)[name]), name


class Poison:
    def __init__(self, at_step):
        self.at_step = at_step

    def on_start(self, step): ...

    def on_step(self, event):
        if event.step == self.at_step:
            with torch.no_grad():
                self.trainer.engine.module.output_layer.weight[0] = np.nan

    def on_end(self): ...
