"""Runs under torchrun: trains a small run at each layout and writes what it saw.

torchrun --nproc-per-node 2 -m tests.dist.worker STORE OUTPUT
"""

import json
import sys
from pathlib import Path

import torch

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.setup import prepare
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.batches import ragged_batches
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")
VOCAB_SIZE = 640
MASKS = {
    "ragged": (0.02, 0.9, 0.4, 0.25),
    "a micro-batch wholly masked": (0.5, 0.3, 0.0, 0.01),
    "a rank wholly masked": (0.0, 0.5, 0.0, 0.01),
}
Z_LOSS = 0.01
LAYOUTS = {
    "tp2": Parallel(tensor=2, distributed_optimizer=False),
    "tp2_sp": Parallel(tensor=2, sequence_parallel=True),
    "pp2": Parallel(pipeline=2),
    "dp2": Parallel(distributed_optimizer=False),
    "dp2_distributed_optimizer": Parallel(),
    "dp2_overlap": Parallel(overlap_grad_reduce=True, overlap_param_gather=True),
}


class Recorder:
    """Keeps the losses and norms of each step."""

    def on_start(self, step):
        self.steps = []

    def on_step(self, event):
        report = event.report
        self.steps.append(
            {
                "loss": report.loss,
                "grad_norm": report.grad_norm,
                "param_norm": self.engine.parameter_norm(),
                "trained_tokens": report.trained_tokens,
                "sums": report.sums.tolist(),
                "counts": report.counts.tolist(),
            }
        )

    def on_end(self): ...


def with_z_loss(run):
    """The same run with a z-loss."""
    return run.model_copy(update={"train": run.train.model_copy(update={"z_loss": Z_LOSS})})


def train(store, output, parallel, z_loss=False):
    """Train a small run under `parallel`, in joined processes; returns the recorded steps."""
    from geo_nemo.train.loop import Trainer

    run = tiny_run(store, output, parallel=parallel)
    if z_loss:
        run = with_z_loss(run)
    recorder = Recorder()
    with model_parallel(parallel, run.seed):
        trainer = Trainer(prepare(run, world_size()), CPU, [recorder])
        recorder.engine = trainer.engine
        trainer.fit()
    return recorder.steps


def errors_against_the_oracle(shares):
    """How far loss and gradients of two data-parallel ranks are from plain PyTorch's, here.

    shares: trained share of each micro-batch; this rank takes every second one.
    """
    from geo_nemo.train.engine import Engine

    whole = ragged_batches(seed=5, vocab_size=VOCAB_SIZE, shares=shares)
    run = tiny_run("store", "out", parallel=LAYOUTS["dp2"])
    with model_parallel(run.parallel, run.seed):
        engine = Engine(run, VOCAB_SIZE, 3, CPU)
        engine.zero_gradients()
        sums, counts = engine._reduce(engine.forward_backward(whole[rank() :: world_size()]))
        weights = dict(engine.module.named_parameters())
        doubles = {name: weight.detach().double() for name, weight in weights.items()}
        loss, gradients, _ = batch_loss_and_gradients(doubles, run.model, whole)
        differences = [
            (weights[n].main_grad.double() - g).abs().max() for n, g in gradients.items()
        ]
    return {
        "loss": abs(float(sums.sum() / counts.sum()) - loss) / loss,
        "gradient": float(max(differences)),
        "smallest_gradient": min(float(g.abs().max()) for g in gradients.values()),
    }


def main():
    store, output = sys.argv[1], Path(sys.argv[2])
    with world(CPU):
        for name, parallel in LAYOUTS.items():
            steps = train(store, output / name, parallel)
            if rank() == 0:
                (output / f"{name}.json").write_text(json.dumps(steps))
        steps = train(store, output / "z_loss", LAYOUTS["tp2"], z_loss=True)
        if rank() == 0:
            (output / "z_loss.json").write_text(json.dumps(steps))
        errors = {name: errors_against_the_oracle(shares) for name, shares in MASKS.items()}
        (output / f"oracle-{rank()}.json").write_text(json.dumps(errors))


if __name__ == "__main__":
    main()
