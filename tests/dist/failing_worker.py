"""Runs in two processes: what two ranks say when something goes wrong, and their initial weights.

    torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.failing_worker STORE OUTPUT

Each scenario ends with a barrier, so that a rank that waits for ever would time the test out.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from geo_nemo.config import Parallel, RunError, UserError
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.setup import prepare
from tests.support.batches import ragged_batches
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")
VOCAB_SIZE = 640
SEED = 7
LAYOUTS = {"dp": Parallel(), "tp": Parallel(tensor=2), "pp": Parallel(pipeline=2)}
INITIAL = {
    "tp": LAYOUTS["tp"],
    "tp_sp": Parallel(tensor=2, sequence_parallel=True),
    "pp": LAYOUTS["pp"],
}


def engine_of(parallel):
    from geo_nemo.train.engine import Engine

    return Engine(tiny_run("store", "out", parallel=parallel), VOCAB_SIZE, 3, CPU)


def poison(engine, batch, trained):
    """Token 77 gets a weight that is not finite, and `batch` a document of it."""
    end = batch.cu_seqlens[1]
    batch.tokens[0, :end] = 77
    batch.loss_mask[0, :end] = float(trained)
    for name, weight in engine.module.named_parameters():
        if name.endswith("word_embeddings.weight"):
            with torch.no_grad():
                weight[77] = float("nan")


def bad_batch(parallel, trained, data_parallel):
    """Micro-batch 1 of rank 1 is bad; under TP and PP, micro-batch 1 of both."""
    engine = engine_of(parallel)
    number = rank() if data_parallel else 0
    batches = ragged_batches(seed=number, vocab_size=VOCAB_SIZE, fractions=(0.5, 0.5, 0.5))
    for batch in batches:
        batch.tokens[batch.tokens == 77] = 78
        batch.sample_ids[:] += 100 * number
    if not data_parallel or rank() == 1:
        poison(engine, batches[1], trained)
    before = [w.detach().clone() for w in engine.module.parameters()]
    said = outcome(lambda: engine.train_step(batches, step=3))
    same = all(
        torch.equal(w.nan_to_num(7), b.nan_to_num(7))
        for w, b in zip(engine.module.parameters(), before, strict=True)
    )
    return {"said": said, "unchanged": same}


def full_disk(store, output, async_save):
    """Rank 1 alone may not write; the checkpoint before stays, and the run can go on."""
    from geo_nemo.train.loop import Trainer

    run = tiny_run(
        store, output, parallel=LAYOUTS["tp"],
        checkpoint={"every_steps": 3, "async_save": async_save},
    )  # fmt: skip
    trainer = Trainer(prepare(run, world_size()), CPU)
    trainer.fit()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank() == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    trainer.step = 9
    said = outcome(lambda: (trainer.save(), polled(trainer)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    dist.barrier()
    left = sorted(os.listdir(trainer.directory))
    dist.barrier()
    again = outcome(lambda: (trainer.save(), polled(trainer)))
    whole = str(trainer.checkpoints.newest())
    return {"said": said, "left": left, "again": again, "whole": whole}


def polled(trainer):
    """Ask after each step, as the loop does, until no save is under way."""
    while trainer.checkpoints.is_saving:
        trainer.agreement.exchange()
        time.sleep(0.01)


def torn_shard(store, output):
    """A shard that rank 1 wrote is cut off: what each rank goes on from, and rank 0's line."""
    from geo_nemo.train.loop import Trainer

    lines = []
    dist.barrier()
    if rank() == 0:
        shard = output / "checkpoints" / "step_00000009" / "__1_0.distcp"
        shard.write_bytes(shard.read_bytes()[:500])
    dist.barrier()
    trainer = Trainer(prepare(tiny_run(store, output, parallel=LAYOUTS["tp"]), world_size()), CPU)
    trainer.checkpoints.tell = lines.append
    said = outcome(trainer.resume)
    return {"said": said, "step": trainer.step, "lines": lines}


def changed_shards(store, output):
    """A byte of every shard of every checkpoint is another: each rank reads a part of them."""
    from geo_nemo.train.loop import Trainer

    dist.barrier()
    if rank() == 0:
        for shard in output.glob("checkpoints/step_*/__*_0.distcp"):
            content = bytearray(shard.read_bytes())
            content[len(content) // 2] ^= 1
            shard.write_bytes(bytes(content))
    dist.barrier()
    trainer = Trainer(prepare(tiny_run(store, output, parallel=LAYOUTS["tp"]), world_size()), CPU)
    return {"said": outcome(trainer.resume)}


def outcome(action) -> str:
    try:
        action()
    except (RunError, UserError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def slices(parallel):
    """(name, offset of the slice in the whole, slice) of every initial weight of this rank."""
    from geo_nemo.model.initialize import _shards

    state = engine_of(parallel).module.sharded_state_dict()
    return [
        (shard.key, tuple(shard.global_offset), tuple(shard.global_shape), shard.data.clone())
        for shard in _shards(state)
        if shard.data is not None
    ]


def main():
    store, output = Path(sys.argv[1]), Path(sys.argv[2])
    with world(CPU):
        found = {}
        for name, parallel in LAYOUTS.items():
            with model_parallel(parallel, SEED):
                for kind, trained in (("loss", True), ("gradient", False)):
                    found[f"{kind}_{name}"] = bad_batch(parallel, trained, name == "dp")
                    dist.barrier()
        with model_parallel(LAYOUTS["tp"], SEED):  # both ranks write shards
            for name, async_save in (("blocking", False), ("async", True)):
                found[f"full_disk_{name}"] = full_disk(store, output / name, async_save)
            found["torn_shard"] = torn_shard(store, output / "async")
            found["changed_shards"] = changed_shards(store, output / "async")
            dist.barrier()
        (output / f"said_{rank()}.json").write_text(json.dumps(found))
        for name, parallel in INITIAL.items():
            with model_parallel(parallel, SEED):
                torch.save(slices(parallel), output / f"{name}_{rank()}.pt")


if __name__ == "__main__":
    main()
