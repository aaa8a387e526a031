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


class Events:
    """A callback that keeps every step event."""

    def __init__(self):
        self.seen = []

    def on_start(self, step): ...

    def on_step(self, event):
        self.seen.append(event)

    def on_end(self): ...
