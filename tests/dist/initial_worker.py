"""Runs in two processes: begins from weights of one process at each layout, and saves them at once.

torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.initial_worker \
    STORE OUTPUT NAME=SOURCE...
"""

import sys
from pathlib import Path

import torch

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import world_size
from geo_nemo.train.setup import prepare
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")
LAYOUTS = {
    "tp2": Parallel(tensor=2, sequence_parallel=True),
    "tp2_plain": Parallel(tensor=2, distributed_optimizer=False),
    "pp2": Parallel(pipeline=2),
    "dp2_overlap": Parallel(overlap_grad_reduce=True, overlap_param_gather=True),
}


def main():
    store, output, sources = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    from geo_nemo.train.loop import Trainer

    with world(CPU):
        for source in sources:
            name, _, checkpoint = source.partition("=")
            for layout, parallel in LAYOUTS.items():
                run = tiny_run(
                    Path(store),
                    output / f"{name}_{layout}",
                    init={"checkpoint": checkpoint},
                    parallel=parallel,
                )
                with model_parallel(parallel, run.seed):
                    trainer = Trainer(prepare(run, world_size()), CPU)
                    trainer.resume()
                    assert trainer.step == 0
                    trainer.save()
                    trainer.checkpoints.finish()


if __name__ == "__main__":
    main()
