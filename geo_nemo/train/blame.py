"""Which micro-batch is to blame for a step whose loss or gradients are not finite."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.distributed as dist

from geo_nemo.data.batches import Batch
from geo_nemo.train.step import BadStepError

# (micro-batch, samples) of this rank.
Bad = list[tuple[int, list[int]]]
_LOOK = "look at the batch with geo-nemo audit, or lower train.lr"


class Blame:
    """Raises BadStepError for a step, on every rank alike.

    reports: of the micro-batches, on the last pipeline stage. retake: finds this rank's
    micro-batches whose gradients are bad, while weights are those of the step; None: they are not.
    """

    def __init__(
        self,
        step: int,
        batches: Sequence[Batch],
        reports: Sequence[Mapping[str, torch.Tensor]],
        retake: Callable[[], Bad] | None,
    ):
        self.step = step
        self.batches = batches
        self.reports = reports
        self.retake = retake

    def check_loss(self, loss: float) -> None:
        """Raise where the loss is not finite."""
        if math.isfinite(loss):
            return
        bad = [
            (index, self.batches[index].sample_ids.tolist())
            for index, report in enumerate(self.reports)
            if not torch.isfinite(report["sums"]).all()
        ]
        raise BadStepError(f"the loss is not finite at step {self.step}, {_first_of(bad)}; {_LOOK}")

    def check_norm(self, norm: float) -> None:
        """Raise where the norm of the gradients is not finite."""
        if math.isfinite(norm):
            return
        said = f"the gradient norm is {norm} at step {self.step}, though the loss is finite"
        if self.retake is None:
            raise BadStepError(
                f"{said}; {_LOOK}; with bad_steps.policy=skip the same command leaves it out and "
                "names its micro-batch"
            )
        raise BadStepError(f"{said}: {_first_of(self.retake())}; {_LOOK}")


def _first_of(bad: Bad) -> str:
    """Where the first bad micro-batch of all ranks lies, in words; every rank calls it."""
    everyone: list[Bad] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(everyone, bad)
    found = [(rank, *first[0]) for rank, first in enumerate(everyone) if first]
    if not found:
        return "in no micro-batch alone, but in their sum"
    rank, micro_batch, samples = found[0]
    return f"rank {rank}, micro-batch {micro_batch} (samples {samples})"
