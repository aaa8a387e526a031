"""The average of the weights: kept by the ranks as the optimizer's state is, saved with it.

Each rank averages the fp32 weights that its optimizer steps: under the distributed optimizer its
own slices of each parameter, else the whole of its model-parallel part. In a checkpoint the average
has the names and shapes of the weights behind `average.`, so any layout reads it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from megatron.core.dist_checkpointing.optimizer import make_sharded_optimizer_tensor

from geo_nemo.config import Average, Run, UserError
from geo_nemo.train.callback import ReadsNothing, StepEvent
from geo_nemo.train.checkpoint.names import AVERAGE
from geo_nemo.train.engine import Engine
from geo_nemo.train.masters import Master, boxes_of, masters, wholes_of


class WeightAverage(ReadsNothing):
    """A callback that every rank holds, where `average.kind` asks for it.

    updates: how often it took the weights up, its beginning included.
    """

    def __init__(self, engine: Engine, settings: Average):
        self.engine = engine
        self.settings = settings
        self.updates = 0
        self._shadows = [master.values.detach().clone() for master in self._masters()]

    def restart(self) -> None:
        """Begin at the weights as they are now."""
        self._copy()

    def on_start(self, step: int) -> None: ...

    def on_step(self, event: StepEvent) -> None:
        self.update(event.step + 1)

    def on_end(self) -> None: ...

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take up the weights that `steps` optimizer steps made, if it is time to."""
        settings = self.settings
        if steps < settings.start:
            return
        if not self.has_begun:
            self._copy()
            self.updates = 1
        elif (steps - settings.start) % settings.every_steps == 0:
            values = [master.values for master in self._masters()]
            torch._foreach_lerp_(self._shadows, values, 1 - settings.decay)
            self.updates += 1

    @property
    def has_begun(self) -> bool:
        return self.updates > 0 or self.settings.start == 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights; then, bit for bit, its own again.

        Every rank enters it. It takes a copy of this rank's weights.
        """
        if not self.has_begun:
            yield
            return
        with self.engine.whole_parameters():
            kept = [weight.detach().clone() for weight in self.engine.parameters()]
            with torch.no_grad():
                for master, shadow in zip(self._masters(), self._shadows, strict=True):
                    flat = master.parameter.data.view(-1)
                    flat[master.first : master.first + len(shadow)].copy_(shadow)
            self.engine.gather_parameters()
            try:
                yield
            finally:
                with torch.no_grad():
                    for weight, own in zip(self.engine.parameters(), kept, strict=True):
                        weight.copy_(own)

    def sharded_state(self, models: dict[str, Any], is_loading: bool) -> dict[str, Any]:
        """What a checkpoint keeps; loading asks for whole parameters, and a rank keeps its part.

        models: sharded state of the engine's modules, by the names of `Engine.parts`.
        """
        if not self.has_begun and not is_loading:
            self._copy()
        wholes = wholes_of(models)
        if is_loading:
            weights = [
                make_sharded_optimizer_tensor(
                    wholes[weight], torch.empty(weight.shape, device=weight.device), AVERAGE
                )
                for weight in self.engine.parameters()
            ]
        elif self.engine.distributed_optimizers:
            weights = [
                box
                for master, shadow in zip(self._masters(), self._shadows, strict=True)
                for box in boxes_of(wholes[master.parameter], AVERAGE, shadow, master.first)
            ]
        else:
            weights = [
                make_sharded_optimizer_tensor(
                    wholes[master.parameter], shadow.view(master.parameter.shape), AVERAGE
                )
                for master, shadow in zip(self._masters(), self._shadows, strict=True)
            ]
        return {"updates": self.updates, "weights": dict(enumerate(weights))}

    @torch.no_grad()
    def load_state(self, state: dict[str, Any]) -> None:
        """Take what `sharded_state` asked for, loaded."""
        self.updates = int(state["updates"])
        loaded = state["weights"]
        wholes = {weight: loaded[i] for i, weight in enumerate(self.engine.parameters())}
        for master, shadow in zip(self._masters(), self._shadows, strict=True):
            flat = wholes[master.parameter].reshape(-1)
            shadow.copy_(flat[master.first : master.first + len(shadow)])

    def _masters(self) -> Iterator[Master]:
        return masters(self.engine)

    def _copy(self) -> None:
        torch._foreach_copy_(self._shadows, [master.values.detach() for master in self._masters()])


def average_of(state: dict[str, Any], run: Run, folder: object) -> dict[str, Any]:
    """A model's sharded state, in fp32, that asks a checkpoint for the average of the weights.

    folder: of the run, for the `UserError` where it kept no average.
    """
    if not run.average.is_kept:
        raise UserError(
            f"{folder} was trained without an average: leave out weights=average, or train with "
            "average.kind=ema"
        )
    return {
        name: replace(value, key=f"{AVERAGE}.{value.key}")
        if isinstance(value, ShardedTensor | ShardedTensorFactory)
        else value
        for name, value in state.items()
    }
