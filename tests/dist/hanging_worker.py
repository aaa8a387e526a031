"""Runs under torchrun: rank 1 stops between two steps, for ever; rank 0 waits for it in the next.

torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.hanging_worker STORE OUTPUT
"""

import sys
import threading
from pathlib import Path

import torch

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import process_groups
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.callbacks import Watch
from geo_nemo.train.loop import Trainer
from geo_nemo.train.setup import prepare
from tests.support.tiny import tiny_run

HANG_MINUTES = 0.2


class Hangs:
    """Never comes back from the second step of rank 1."""

    def on_start(self, step: int) -> None: ...

    def on_step(self, event) -> None:
        if rank() == 1 and event.step == 1:
            threading.Event().wait()

    def on_end(self) -> None: ...


def main() -> None:
    store, output = Path(sys.argv[1]), Path(sys.argv[2])
    device = torch.device("cpu")
    with process_groups(Parallel(), device, seed=7), Watch(output, HANG_MINUTES) as watch:
        prepared = prepare(tiny_run(store, output), world_size())
        Trainer(prepared, device, [watch, Hangs()]).fit()


if __name__ == "__main__":
    main()
