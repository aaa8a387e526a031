"""Runs in two processes: trains a run whose stages have layouts of their own, a leg after another.

torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.stages_worker STORE OUTPUT CASE
"""

import json
import sys
from pathlib import Path

import torch

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.callback import Verdict
from geo_nemo.train.setup import prepare
from tests.dist.exact import layout_run
from tests.dist.test_stages import STOPS, stages
from tests.support.runs import Events

CPU = torch.device("cpu")


class Stopped(Events):
    """Keeps events, and stops the run at the end of these steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_step(self, event):
        super().on_step(event)
        return Verdict("stop", "enough") if event.step in self.steps else None


def main():
    store, output, case = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    from geo_nemo.train.loop import Trainer

    legs = []
    run = layout_run(store, output / "run", Parallel(), stages=stages(case))
    with world(CPU):
        while True:
            prepared = prepare(run, world_size())
            parallel = prepared.run.parallel
            events = Stopped(STOPS[case])
            with model_parallel(parallel, run.seed):
                trainer = Trainer(prepared, CPU, [events])
                done = trainer.fit()
            legs.append({
                "layout": [
                    parallel.tensor, parallel.pipeline, parallel.virtual_pipeline, parallel.context
                ],
                "steps": [event.step for event in events.seen],
                "losses": [event.report.loss for event in events.seen],
                "boundary": trainer.boundary,
                "outcome": trainer.outcome,
            })  # fmt: skip
            if done:
                break
    if rank() == 0:
        (output / "legs.json").write_text(json.dumps(legs))


if __name__ == "__main__":
    main()
