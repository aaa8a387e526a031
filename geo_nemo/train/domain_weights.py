"""Weights of groups, as countries, learnt by a proxy run (DoGE, Fan et al., arXiv 2310.15393).

At each step, with g_i the gradient of group i's mean loss, a group that helps all others gains:

    W_i = <g_i, sum of g_j>        a_i <- a_i exp(lr / mu * W_i), normalised
    step of the proxy: sum of a_i g_i

What is learnt is the mean of a over the steps. One process; it holds a gradient a group.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from geo_nemo.config import RunError
from geo_nemo.data.batches import Batch
from geo_nemo.train.engine import Engine
from geo_nemo.train.gradients import clip, squared_norm


class DomainWeights:
    """Weights of n groups: equal at first, and of `mean` those of every update so far."""

    def __init__(self, number: int, mu: float):
        self.mu = mu
        self.now = np.full(number, 1 / number)
        self._sum = np.zeros(number)
        self._updates = 0

    def update(self, alignment: np.ndarray, lr: float) -> np.ndarray:
        """The next weights, float64 [n]. alignment: W; 0 of a group that the step did not see."""
        with np.errstate(divide="ignore"):  # a weight that has come to 0 stays it
            logs = np.log(self.now) + lr / self.mu * alignment
        exact = np.exp(logs - logs.max())
        self.now = exact / exact.sum()
        self._sum += self.now
        self._updates += 1
        return self.now

    @property
    def mean(self) -> np.ndarray:
        """Over the updates, float64 [n]; equal weights where there was none."""
        return self._sum / self._updates if self._updates else self.now


def proxy_step(
    engine: Engine, batches: Sequence[Batch], weights: DomainWeights, groups: Sequence[int]
) -> dict[int, float]:
    """One step of weights and proxy; returns the loss of each group that the batch has.

    groups: numbers of the groups, as `group_ids` have them, in the order of the weights. Raises
    RunError where a number is not finite.
    """
    found: dict[int, list[torch.Tensor]] = {}
    losses: dict[int, float] = {}
    for place, group in enumerate(groups):
        mine = of_group(batches, group)
        if not mine:
            continue
        engine.zero_gradients()
        reports = engine.forward_backward(mine)
        sums = [
            sum(float(report[name].sum()) for report in reports) for name in ("sums", "weights")
        ]
        losses[group] = sums[0] / sums[1]
        found[place] = [weight.main_grad.clone() for weight in engine.parameters()]
    lr = engine.optimizer.param_groups[0]["lr"]
    alpha = weights.update(alignments(found, len(groups)), lr)
    if not np.isfinite(alpha).all():
        raise RunError("a gradient of the proxy is not finite: lower train.lr")
    engine.zero_gradients()
    engine.optimizer.zero_grad()
    for place, gradients in found.items():
        for weight, gradient in zip(engine.parameters(), gradients, strict=True):
            weight.main_grad.add_(gradient, alpha=float(alpha[place]))
    engine.optimizer.prepare_grads()
    if engine.clip_grad:
        clip(engine.optimizer, squared_norm(engine.optimizer, engine.device), engine.clip_grad)
    engine.optimizer.step_with_ready_grads()
    engine.schedule.step(1)
    return losses


def of_group(batches: Sequence[Batch], group: int) -> list[Batch]:
    """The micro-batches that train tokens of a group, with all others out of the loss."""
    found = []
    for batch in batches:
        mask = np.where(batch.group_ids == group, batch.loss_mask, np.float32(0))
        if mask.any():
            found.append(replace(batch, loss_mask=mask))
    return found


def alignments(gradients: dict[int, list[torch.Tensor]], number: int) -> np.ndarray:
    """W of each of `number` groups, float64 [number]; 0 without a gradient."""
    alignment = np.zeros(number)
    if gradients:
        total = [torch.stack(each).sum(0) for each in zip(*gradients.values(), strict=True)]
        for place, mine in gradients.items():
            products = [
                (one.double() * other.double()).sum()
                for one, other in zip(mine, total, strict=True)
            ]
            alignment[place] = float(torch.stack(products).sum())
    return alignment


def learn(
    engine: Engine,
    steps: Callable[[], Sequence[Batch] | None],
    weights: DomainWeights,
    groups: Sequence[int],
    tell: Callable[[int], None],
) -> np.ndarray:
    """Proxy steps until `steps` gives None; the mean weights, float64 [n]. tell: of steps done."""
    done = 0
    while (batches := steps()) is not None:
        proxy_step(engine, batches, weights, groups)
        done += 1
        tell(done)
    return weights.mean
