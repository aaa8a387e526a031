"""Runs in two processes: trains a small run at each layout and writes what it saw.

torchrun --nproc-per-node 2 -m tests.dist.start tests.dist.worker STORE OUTPUT
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch
from megatron.core import parallel_state

from geo_nemo.config import Parallel
from geo_nemo.model.layout import check_layout
from geo_nemo.model.memory import rank_parameters
from geo_nemo.runtime.device import allow_only_deterministic
from geo_nemo.runtime.distributed import model_parallel, world
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.train.setup import prepare
from tests.dist.exact import NUM_GROUPS, VOCAB_SIZE, Oracle, errors, layout_run
from tests.support.batches import ragged_batches

CPU = torch.device("cpu")
Z_LOSS = 0.01
LAYOUTS = {
    "tp2": Parallel(tensor=2, distributed_optimizer=False),
    "tp2_sp": Parallel(tensor=2, sequence_parallel=True),
    "pp2": Parallel(pipeline=2),
    "dp2": Parallel(distributed_optimizer=False),
    "dp2_distributed_optimizer": Parallel(),
    "dp2_overlap": Parallel(overlap_grad_reduce=True, overlap_param_gather=True),
    "pp2_vpp2": Parallel(pipeline=2, virtual_pipeline=2),
    "cp2": Parallel(context=2),
    "cp2_overlap": Parallel(context=2, overlap_grad_reduce=True, overlap_param_gather=True),
}
# Gradients are looked at whole, before an optimizer divides them: these need no steps. Under the
# distributed optimizer, a rank has the sum of its own part alone.
GRADIENTS = {
    "dp2": LAYOUTS["dp2"],
    "tp2_sp": Parallel(tensor=2, sequence_parallel=True, distributed_optimizer=False),
    "pp2": Parallel(pipeline=2, distributed_optimizer=False),
    "pp2_vpp2": Parallel(pipeline=2, virtual_pipeline=2, distributed_optimizer=False),
    "cp2": Parallel(context=2, distributed_optimizer=False),
    "cp2_recompute": Parallel(context=2, distributed_optimizer=False, recompute="full"),
}
DETERMINISTIC = ("tp2_sp", "cp2")


# Those whose parts CI sees in others; with the others in make test-slow.
LONGER = {"cp2_overlap"}
LONGER_VARIANTS = {
    "tied_vpp2", "biases", "more rows, context", "head norms", "behind", "behind, pipeline"
}  # fmt: skip


class Recorder:
    """Keeps the losses and norms of each step. trainer: to be set before its run."""

    def on_start(self, step):
        self.steps = []

    def on_step(self, event):
        report, engine = event.report, self.trainer.engine
        with self.trainer.average.applied():
            average_norm = engine.parameter_norm()
        self.steps.append(
            {
                "loss": report.loss,
                "grad_norm": report.grad_norm,
                "param_norm": engine.parameter_norm(),
                "average_norm": average_norm,
                "trained_tokens": report.trained_tokens,
                "sums": report.sums.tolist(),
                "counts": report.counts.tolist(),
            }
        )

    def on_end(self): ...


def with_z_loss(run):
    """The same run with a z-loss."""
    return run.model_copy(update={"train": run.train.model_copy(update={"z_loss": Z_LOSS})})


def shaped(**update):
    """Gives a run a model of another shape."""
    return lambda run: run.model_copy(update={"model": run.model.model_copy(update=update)})


def with_more_rows(run):
    """The same run with an embedding of groups, five meta-tokens, and two in the last stage."""
    counts = zip(run.stages.items(), (5, 2), strict=True)
    stages = {
        name: stage.model_copy(
            update={"metadata": stage.metadata.model_copy(update={"meta_tokens": count})}
        )
        for (name, stage), count in counts
    }
    return shaped(group_embedding=True)(run.model_copy(update={"stages": stages}))


def told_behind(run):
    """The same run with metadata behind the text, weighed less, and meta-tokens before it."""
    told = {"position": "append", "loss_weights": {"metadata": 0.3}, "meta_tokens": 3}
    stages = {
        name: stage.model_copy(update={"metadata": stage.metadata.model_copy(update=told)})
        if stage.metadata.fields
        else stage
        for name, stage in run.stages.items()
    }
    return run.model_copy(update={"stages": stages})


tied = shaped(share_embeddings_and_output_weights=True)
qwen2 = shaped(add_qkv_bias=True)
qwen3 = shaped(qk_layernorm=True, kv_channels=32)


# What else a run may have: the layout that it is tried under, and the change.
VARIANTS = {
    "z_loss": ("tp2", with_z_loss),
    "tied": ("pp2", tied),
    "tied_vpp2": ("pp2_vpp2", tied),
    "biases": ("tp2_sp", qwen2),
    "more rows": ("tp2_sp", with_more_rows),
    "more rows, pipeline": ("pp2", with_more_rows),
    "more rows, context": ("cp2", with_more_rows),
    "behind": ("tp2_sp", told_behind),
    "behind, pipeline": ("pp2", told_behind),
    "behind, context": ("cp2", told_behind),
    "head norms": ("tp2", qwen3),
    "head norms, sequence parallel": ("tp2_sp", qwen3),
}


def train(store, output, parallel, change=None, deterministic=False):
    """Train a small run under `parallel`, in joined processes.

    Returns the recorded steps and a digest of this rank's weights.
    """
    from geo_nemo.train.loop import Trainer

    run = layout_run(store, output, parallel, deterministic=deterministic)
    if change is not None:
        run = change(run)
    recorder = Recorder()
    with model_parallel(parallel, run.seed):
        trainer = Trainer(prepare(run, world_size()), CPU, [recorder])
        recorder.trainer = trainer
        check_size(trainer)
        trainer.fit()
        weights = b"".join(w.detach().numpy().tobytes() for w in trainer.engine.parameters())
    return recorder.steps, hashlib.sha256(weights).hexdigest()


def check_size(trainer):
    """The plan's count of a rank's parameters, against those that Megatron-Core has made."""
    run, vocab_size = trainer.run, trainer.prepared.vocab_size
    layout = check_layout(run, vocab_size, world_size())
    stage = parallel_state.get_pipeline_model_parallel_rank()
    # Of which the embedding of groups is no part: an export has none.
    held = sum(
        weight.numel()
        for module in trainer.engine.modules
        for name, weight in module.named_parameters()
        if not name.startswith("group_embedding")
    )
    assert held == rank_parameters(run.model, vocab_size, layout, stage)


def twice(store, output, parallel):
    """Steps and digests of two deterministic runs; a number that differs in a bit is another."""
    was = torch.are_deterministic_algorithms_enabled()
    allow_only_deterministic(CPU)
    try:
        return [train(store, output / f"{n}", parallel, deterministic=True) for n in range(2)]
    finally:
        torch.use_deterministic_algorithms(was)


def said_of_a_bad_batch(parallel, trained):
    """The error of a step whose micro-batch 1 has a document of a token without a finite weight.

    trained: fraction of that document's labels; with 0, the loss is finite and a gradient is not.
    """
    from geo_nemo.train.engine import Engine
    from geo_nemo.train.step import BadStepError

    run = layout_run("store", "out", parallel)
    with model_parallel(parallel, run.seed):
        engine = Engine(run, VOCAB_SIZE, NUM_GROUPS, CPU)
        batches = ragged_batches(seed=0, vocab_size=VOCAB_SIZE, fractions=(0.5,) * 4)
        for batch in batches:
            batch.tokens[batch.tokens == 77] = 78
        document = slice(0, batches[1].cu_seqlens[1])
        batches[1].tokens[0, document] = 77
        batches[1].loss_mask[0, document] = trained
        for module in engine.modules:
            for name, weight in module.named_parameters():
                if name.endswith("word_embeddings.weight"):
                    weight.data[77] = float("nan")
        try:
            engine.train_step(batches, step=3)
        except BadStepError as error:
            return str(error)
        return "nothing"


def chosen(cases, longer):
    """All cases in `make test-slow`, else those that are not `longer`."""
    whole = os.environ.get("GEO_NEMO_SLOW_TESTS") == "1"
    return {name: case for name, case in cases.items() if whole or name not in longer}


def main():
    store, output = sys.argv[1], Path(sys.argv[2])
    with world(CPU):
        for name, parallel in chosen(LAYOUTS, LONGER).items():
            steps, _ = train(store, output / name, parallel)
            if rank() == 0:
                (output / f"{name}.json").write_text(json.dumps(steps))
        for name, (layout, change) in chosen(VARIANTS, LONGER_VARIANTS).items():
            steps, _ = train(store, output / name, LAYOUTS[layout], change)
            if rank() == 0:
                (output / f"{name}.json").write_text(json.dumps(steps))
        oracle = Oracle(LAYOUTS["dp2"])
        found = {name: errors(parallel, oracle) for name, parallel in GRADIENTS.items()}
        (output / f"oracle-{rank()}.json").write_text(json.dumps(found))
        bad = {
            name: [said_of_a_bad_batch(LAYOUTS[name], trained) for trained in (1.0, 0.0)]
            for name in ("pp2_vpp2", "cp2")
        }
        (output / f"bad-{rank()}.json").write_text(json.dumps(bad))
        runs = {
            name: twice(store, output / f"twice_{name}", LAYOUTS[name]) for name in DETERMINISTIC
        }
        (output / f"twice-{rank()}.json").write_text(json.dumps(runs))


if __name__ == "__main__":
    main()
