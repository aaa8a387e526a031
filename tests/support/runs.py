"""Trainers of small runs in this process, for tests that look at a run from inside."""

import torch

from geo_nemo.train.setup import prepare
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


class Events:
    """A callback that keeps every step event."""

    def __init__(self):
        self.seen = []

    def on_start(self, step): ...

    def on_step(self, event):
        self.seen.append(event)

    def on_end(self): ...
