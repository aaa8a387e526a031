"""Runs under torchrun: trains a small run at each layout and writes what it saw.

torchrun --nproc-per-node 2 -m tests.dist.worker STORE OUTPUT
"""

import json
import sys
from pathlib import Path

import torch

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, rank, world, world_size
from geo_nemo.train.setup import prepare
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")
LAYOUTS = {
    "tp2": Parallel(tensor=2, distributed_optimizer=False),
    "tp2_sp": Parallel(tensor=2, sequence_parallel=True),
    "pp2": Parallel(pipeline=2),
    "dp2": Parallel(distributed_optimizer=False),
    "dp2_distributed_optimizer": Parallel(),
    "dp2_overlap": Parallel(overlap_grad_reduce=True, overlap_param_gather=True),
}


class Recorder:
    """Keeps the losses and gradient norms of each step."""

    def on_start(self, step):
        self.steps = []

    def on_step(self, event):
        report = event.report
        self.steps.append(
            {
                "loss": report.loss,
                "grad_norm": report.grad_norm,
                "trained_tokens": report.trained_tokens,
                "sums": report.sums.tolist(),
                "counts": report.counts.tolist(),
            }
        )

    def on_end(self): ...


def train(store, output, parallel):
    """Train a small run under `parallel`, in joined processes; returns the recorded steps."""
    from geo_nemo.train.loop import Trainer

    run = tiny_run(store, output, parallel=parallel)
    recorder = Recorder()
    with model_parallel(parallel, run.seed):
        Trainer(prepare(run, world_size()), CPU, [recorder]).fit()
    return recorder.steps


def main():
    store, output = sys.argv[1], Path(sys.argv[2])
    with world(CPU):
        for name, parallel in LAYOUTS.items():
            steps = train(store, output / name, parallel)
            if rank() == 0:
                (output / f"{name}.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    main()
