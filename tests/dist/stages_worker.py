"""Runs under torchrun: trains a run whose stages have layouts of their own, a leg after another.

torchrun --nproc-per-node 2 -m tests.dist.stages_worker STORE OUTPUT
"""

import json
import sys
from pathlib import Path

import torch

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.setup import prepare
from tests.dist.exact import layout_run
from tests.dist.test_stages import settings
from tests.support.runs import Events

CPU = torch.device("cpu")


def main():
    store, output = Path(sys.argv[1]), Path(sys.argv[2])
    from geo_nemo.train.loop import Trainer

    legs = []
    run = layout_run(store, output / "run", Parallel(), **settings(own_layouts=True))
    with world(CPU):
        while True:
            prepared = prepare(run, world_size())
            parallel = prepared.run.parallel
            events = Events()
            with model_parallel(parallel, run.seed):
                trainer = Trainer(prepared, CPU, [events])
                done = trainer.fit()
            legs.append({
                "layout": [parallel.tensor, parallel.context],
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
