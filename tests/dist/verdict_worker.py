"""Runs in two processes: a callback of the second rank alone leaves a step out, winds the run back,
then stops it.

torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.verdict_worker STORE OUTPUT
"""

import json
import sys
from pathlib import Path

import torch

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import process_groups
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.callback import Verdict
from geo_nemo.train.loop import Trainer
from geo_nemo.train.setup import prepare
from tests.support.runs import Events
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")


class OfRankOne(Events):
    def on_loss(self, step, loss):
        return Verdict("skip", "not this one") if rank() == 1 and step == 1 else None

    def on_step(self, event):
        super().on_step(event)
        if rank() == 1 and event.step == 3:
            return Verdict("rewind", "back", left_out=(4,))
        if rank() == 1 and event.step == 5:
            return Verdict("stop", "enough")
        return None


class Fails(Events):
    """A callback of a recipe that fails on the second rank alone."""

    def __init__(self, context):
        super().__init__()

    def on_step(self, event):
        if rank() == 1 and event.step == 2:
            raise KeyError("second")


def main() -> None:
    store, output = Path(sys.argv[1]), Path(sys.argv[2])
    with process_groups(Parallel(), CPU, seed=7):
        callback = OfRankOne()
        train = {"steps": 8, "global_batch_size": 8, "micro_batch_size": 2, "warmup_steps": 2}
        run = tiny_run(store, output, train=train, checkpoint={"every_steps": 3})
        trainer = Trainer(prepare(run, world_size()), CPU, [callback])
        finished = trainer.fit()
        found = {
            "finished": finished,
            "reason": trainer.reason,
            "step": trainer.step,
            "left_out": sorted(trainer.left_out),
            "steps": [event.step for event in callback.seen],
        }
        (output / f"found_{rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
