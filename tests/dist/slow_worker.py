"""Two ranks, of which the second is slow: what rank 0 says of their times, as JSON.

    torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.slow_worker STORE OUTPUT

Once of numbers that are given, once of a run, whose second rank sleeps in each forward pass.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import process_groups
from geo_nemo.train.callbacks import Metrics
from geo_nemo.train.callbacks.times import Times
from geo_nemo.train.loop import Trainer
from geo_nemo.train.setup import prepare
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")
SLEEP_SECONDS = 0.5  # a micro-batch; the tiny model takes some hundredths


def of_given_numbers() -> dict:
    times, rank = Times(CPU), dist.get_rank()
    times.find_hosts()
    for _ in range(2):
        times.add(
            SimpleNamespace(
                seconds=4.0,
                data_seconds=1.0 + rank,
                checkpoint_seconds=0.0,
                report=SimpleNamespace(work_seconds=1.0 + 0.5 * rank),
            )
        )
    return times.exchanged()


def of_a_run(store: Path, output: Path) -> None:
    run = tiny_run(store, output)
    trainer = Trainer(prepare(run, dist.get_world_size()), CPU)
    path, vocab_size = output / "metrics.jsonl", trainer.prepared.tokenizer.vocab_size
    output.mkdir(exist_ok=True)
    groups = trainer.prepared.groups
    trainer.callbacks = [Metrics(path, run, groups, vocab_size, trainer.engine)]
    if dist.get_rank() == 1:
        trainer.engine.module.register_forward_pre_hook(lambda *_: time.sleep(SLEEP_SECONDS))
    trainer.fit()


def main() -> None:
    store, output = Path(sys.argv[1]), Path(sys.argv[2])
    with process_groups(Parallel(), CPU, seed=7):
        found = of_given_numbers()
        if dist.get_rank() == 0:
            (output / "found.json").write_text(json.dumps(found))
        of_a_run(store, output / "run")


if __name__ == "__main__":
    main()
