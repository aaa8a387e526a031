"""Trainers of small runs in this process, for tests that look at a run from inside."""

import pytest
import torch

from geo_nemo.train.engine import Engine
from geo_nemo.train.setup import prepare
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")


def trainer(run, callbacks=(), stop=None):
    """A Trainer of `run` in the process groups that are open here."""
    from geo_nemo.train.loop import Trainer

    return Trainer(prepare(run, world_size=1), CPU, callbacks, stop=stop)


def finished(store, output, callbacks=(), **changes):
    """The trainer of a tiny run, trained to its end."""
    made = trainer(tiny_run(store, output, **changes), callbacks)
    assert made.fit()
    return made


def weights(made) -> dict[str, torch.Tensor]:
    """A copy of every weight, by name."""
    return {name: w.detach().clone() for name, w in made.engine.module.named_parameters()}


def deterministic(run, stop=None):
    """The trainer of `run`, trained to step `stop` or its end by kernels whose sums have an order,
    and the events of its steps.
    """
    made, events = trainer(run), Events()
    made.callbacks = [events]
    if stop is not None:
        made.stop = type("Stop", (), {"__bool__": lambda _: made.step >= stop})()
    torch.use_deterministic_algorithms(True)
    try:
        made.fit()
    finally:
        torch.use_deterministic_algorithms(False)
    return made, events.seen


def assert_same_weights(one, other):
    """Of two trainers, bit for bit."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def assert_of_the_oracle(made, batches):
    """A model with the first weights of a trainer's run has the loss and gradients of plain PyTorch
    in double precision on these micro-batches; both are returned.

    fp32, as tests/unit/train/test_loss_oracle.py derives it.
    """
    prepared = made.prepared
    engine = Engine(made.run, prepared.vocab_size, prepared.groups.size, CPU)
    exact = {name: w.detach().double() for name, w in engine.module.named_parameters()}
    loss, gradients, _ = batch_loss_and_gradients(exact, made.run.model, batches)
    engine.zero_gradients()
    nats, weight, count = engine._reduce(engine.forward_backward(batches)).sum(1)
    assert nats / weight == pytest.approx(loss, rel=1e-6)
    assert made.run.weighs_tokens or weight == count
    for name, parameter in engine.module.named_parameters():
        assert (parameter.main_grad.double() - gradients[name]).abs().max() <= 1e-6, name
    return loss, gradients


class Events:
    """A callback that keeps every step event."""

    def __init__(self):
        self.seen = []

    def on_start(self, step): ...

    def on_step(self, event):
        self.seen.append(event)

    def on_end(self): ...
