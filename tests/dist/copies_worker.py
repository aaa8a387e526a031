"""Runs in two processes: checkpoints in a bucket, as two ranks make, fetch and miss them.

    torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.copies_worker STORE OUTPUT S3_ADDRESS

AWS's variables lead to the server. Each rank writes what it found to OUTPUT/found_RANK.json.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from geo_nemo.config import Parallel
from geo_nemo.runtime.distributed import process_groups
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.collectives import check_same
from geo_nemo.train.setup import prepare
from tests.dist.failing_worker import outcome
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")


def trainer(store, output, remote):
    from geo_nemo.train.loop import Trainer

    checkpoint = {"every_steps": 3, "remote": remote}
    run = tiny_run(store, output, parallel=Parallel(tensor=2), checkpoint=checkpoint)
    made = Trainer(prepare(run, world_size()), CPU)
    made.lines = []
    made.checkpoints.tell = made.copies.tell = made.lines.append
    return made


def weights(made) -> list[list[float]]:
    return [weight.flatten()[:50].tolist() for weight in made.engine.module.parameters()]


def lost_disk(store, output, remote) -> dict:
    """The disk goes after the end: both ranks stand where they stood."""
    first = trainer(store, output, remote)
    first.fit()
    names = sorted(path.name for path in (first.directory / "step_00000006").iterdir())
    dist.barrier()
    if rank() == 0:
        shutil.rmtree(output)
    dist.barrier()
    second = trainer(store, output, remote)
    second.resume()
    fetched = sorted(path.name for path in (second.directory / "step_00000006").iterdir())
    same = weights(first) == weights(second)
    return {"step": second.step, "same": same, "names": names, "fetched": fetched,
            "lines": second.lines}  # fmt: skip


def one_rank_fails(store, output, remote) -> dict:
    """Rank 1's fraction of a copy, then of a fetch, fails."""
    from geo_nemo.storage.folder import RemoteError
    from geo_nemo.train.checkpoint import bucket as checkpoint_bucket

    real = checkpoint_bucket.upload, checkpoint_bucket.download

    def refused(*_):
        raise RemoteError("cannot reach it from rank 1", lasting=True)

    made = trainer(store, output, remote)
    if rank() == 1:
        checkpoint_bucket.upload = refused
    said = outcome(made.fit)
    checkpoint_bucket.upload = real[0]
    again = trainer(store, output, remote)
    mended = outcome(again.fit)
    dist.barrier()
    if rank() == 0:
        shutil.rmtree(output)
    dist.barrier()
    if rank() == 1:
        checkpoint_bucket.download = refused
    fetch = outcome(trainer(store, output, remote).resume)
    checkpoint_bucket.download = real[1]
    dist.barrier()
    last = trainer(store, output, remote)
    last.resume()
    return {"said": said, "lines": made.lines, "mended": mended, "fetch": fetch, "step": last.step}


def main():
    store, output, address = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    with process_groups(Parallel(tensor=2), CPU, seed=7):
        found = {
            "lost_disk": lost_disk(store, output / "a", f"{address}/a"),
            "same": outcome(lambda: check_same("it", "a")),
            "other": outcome(lambda: check_same("the store", f"{rank()}f")),
            "one_rank_fails": one_rank_fails(store, output / "b", f"{address}/b"),
        }
        (output / f"found_{rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
