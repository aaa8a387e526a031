"""Runs under torchrun with two GPUs: trains at each layout, and one run on its way through several.

torchrun --nproc-per-node 2 -m tests.gpu.layout_worker STORE OUTPUT
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

import torch.distributed as dist

from geo_nemo.config import Parallel
from geo_nemo.runtime.device import keep_launch_order, resolve_device
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank, world_size
from tests.gpu.runs import news_run
from tests.support.runs import Events
from tests.support.tiny import tiny_run

LAYOUTS = {
    "tp2_sp": Parallel(tensor=2, sequence_parallel=True),
    "pp2": Parallel(pipeline=2),
    "dp2_overlap": Parallel(overlap_grad_reduce=True, overlap_param_gather=True),
}
# Layout and precision with which a run goes on behind so many steps; the last is one process's.
STEPS = 8
MOVES = ((0, "tp2_sp", "fp8_delayed"), (2, "pp2", "bf16"), (4, "dp2_overlap", "fp8_tensorwise"))
LAST = (6, "fp8_delayed")


def run_at(store, output, parallel):
    """In fp32, so that losses can be compared closely; of two layers, one a stage."""
    return tiny_run(store, output, device="gpu", parallel=parallel.model_dump())


def moved_run(store, output, precision, parallel=None):
    """Checkpoints every two steps, all of them kept."""
    checkpoint = {"every_steps": 2, "keep_last": 9}
    parallel = (parallel or Parallel()).model_dump()
    return news_run(store, output, STEPS, precision, checkpoint=checkpoint, parallel=parallel)


def forget_after(output, step) -> None:
    """Leave the checkpoint of `step` as the newest."""
    for folder in (Path(output) / "checkpoints").glob("step_*"):
        if int(folder.name.rpartition("_")[2]) > step:
            shutil.rmtree(folder)


def train(run, device) -> list[dict]:
    """Losses and norms of the steps that this call takes."""
    from geo_nemo.train.loop import Trainer
    from geo_nemo.train.setup import prepare

    events = Events()
    with model_parallel(run.parallel, run.seed):
        assert Trainer(prepare(run, world_size()), device, [events]).fit()
    return [
        {"step": event.step, "loss": event.report.loss, "grad_norm": event.report.grad_norm}
        for event in events.seen
    ]


def main():
    store, output = sys.argv[1], Path(sys.argv[2])
    keep_launch_order(LAYOUTS["tp2_sp"])
    device = resolve_device("gpu")
    told = {}
    with world(device):
        for name, parallel in LAYOUTS.items():
            told[name] = train(run_at(store, output / name, parallel), device)
        moved = []
        for step, name, precision in MOVES:
            if rank() == 0 and step:
                forget_after(output / "moved", step)
            dist.barrier()
            run = moved_run(store, output / "moved", precision, LAYOUTS[name])
            moved = moved[:step] + train(run, device)
        told["moved"] = moved
    (output / f"told-{rank()}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
