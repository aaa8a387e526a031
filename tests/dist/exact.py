"""Loss, gradients and loss by country of a layout's ranks against plain PyTorch, slice by slice."""

import re

import numpy as np
import torch

from geo_nemo.data.batches import stack_sequences
from geo_nemo.data.sequences import PackedSequence
from geo_nemo.runtime.distributed import model_parallel
from geo_nemo.runtime.launcher import world_size
from tests.oracle.llama import batch_loss_and_gradients
from tests.support.batches import ragged_batches, weighted_batches
from tests.support.tiny import tiny_run

CPU = torch.device("cpu")
VOCAB_SIZE = 640
NUM_GROUPS = 3
LENGTH = 64


def layout_run(store, output, parallel, **changes):
    """A small run of four layers, so that two ranks can hold two chunks each; keeps an average."""
    average = {"kind": "ema", "decay": 0.5, "start": 1}
    run = tiny_run(store, output, parallel=parallel, average=average, **changes)
    return run.model_copy(update={"model": run.model.model_copy(update={"num_layers": 4})})


def sequence(rng, lengths, trained):
    """Documents of `lengths`; `trained`: slices of the sequence's positions that are."""
    mask = np.zeros(LENGTH, np.float32)
    for part in trained:
        mask[part] = 1
    return PackedSequence(
        tokens=rng.integers(0, VOCAB_SIZE, LENGTH),
        labels=rng.integers(0, VOCAB_SIZE, LENGTH),
        position_ids=np.concatenate([np.arange(n) for n in lengths]),
        loss_mask=mask,
        group_ids=np.repeat(np.arange(len(lengths)) % NUM_GROUPS, lengths),
        label_kinds=np.full(LENGTH, 5, np.uint8),
        cu_seqlens=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        max_seqlen=max(lengths),
    )


def sequences_as_batches(*sequences):
    """Four micro-batches of two of the four sequences, each sequence twice."""
    pairs = [(0, 1), (2, 3), (3, 0), (1, 2)]
    return [stack_sequences([sequences[a], sequences[b]], [a, b]) for a, b in pairs]


def prefixes():
    """Sequences whose metadata, which is masked, stands on one of two context-parallel ranks.

    Of a document of 64 tokens the first rank holds 0-15 and 48-63, the second 16-47.
    """
    rng = np.random.default_rng(11)
    whole = [LENGTH]
    return sequences_as_batches(
        sequence(rng, whole, [slice(16, 64)]),  # the first chunk
        sequence(rng, whole, [slice(32, 64)]),  # the first half
        sequence(rng, [32, 32], [slice(40, 64)]),  # a document, and a part of the next
        sequence(rng, [1, 2, 3, 5, 7, 46], [slice(1, 11), slice(20, 64)]),
    )


def trained_on_one_rank():
    """Sequences of which the first of two context-parallel ranks holds no trained token."""
    rng = np.random.default_rng(12)
    sequences = [sequence(rng, [LENGTH], [slice(16, 16 + 8 * count)]) for count in (4, 1, 3, 2)]
    return sequences_as_batches(*sequences)


BATCHES = {
    "ragged": lambda: ragged_batches(5, VOCAB_SIZE, (0.02, 0.9, 0.4, 0.25)),
    "a micro-batch wholly masked": lambda: ragged_batches(5, VOCAB_SIZE, (0.5, 0.3, 0.0, 0.01)),
    "a rank wholly masked": lambda: ragged_batches(5, VOCAB_SIZE, (0.0, 0.5, 0.0, 0.01)),
    "a prefix wholly on one rank": prefixes,
    "trained tokens on one rank": trained_on_one_rank,
    "weights": lambda: weighted_batches(5, VOCAB_SIZE, (0.1, 0.9, 0.0, 0.4)),
}


class Oracle:
    """Whole gradients by plain PyTorch in double precision, of the weights of every layout."""

    def __init__(self, parallel_of_one_model):
        from geo_nemo.train.engine import Engine

        run = layout_run("store", "out", parallel_of_one_model)
        with model_parallel(run.parallel, run.seed):
            engine = Engine(run, VOCAB_SIZE, NUM_GROUPS, CPU)
            weights = {n: w.detach().double() for n, w in engine.module.named_parameters()}
        self.found, self.nats = {}, {}
        for name, make in BATCHES.items():
            batches = make()
            loss, gradients, nll = batch_loss_and_gradients(weights, run.model, batches)
            sources = torch.from_numpy(np.concatenate([b.group_ids.ravel() for b in batches]))
            mask = torch.from_numpy(np.concatenate([b.loss_mask.ravel() for b in batches]))
            sums = torch.zeros(NUM_GROUPS, dtype=torch.float64)
            sums.index_add_(0, sources, nll * mask)
            counts = torch.zeros(NUM_GROUPS, dtype=torch.float64)
            counts.index_add_(0, sources, (mask > 0).double())
            self.found[name] = (loss, gradients, sums, counts)
            self.nats[name] = [
                float(part.sum()) for part in (nll * mask).split(batches[0].tokens.size)
            ]


def errors(parallel, oracle):
    """For each of `BATCHES`, how far this rank is from the oracle under `parallel`.

    counted: trained tokens that this rank counted itself; compared: values of gradients.
    """
    from megatron.core import parallel_state

    from geo_nemo.train.engine import Engine

    run = layout_run("store", "out", parallel)
    replicas = parallel.data_parallel_size(world_size())
    told = {}
    with model_parallel(parallel, run.seed):
        engine = Engine(run, VOCAB_SIZE, NUM_GROUPS, CPU)
        weights = [w.detach().clone() for w in engine.parameters()]
        for name, make in BATCHES.items():
            for weight, initial in zip(engine.parameters(), weights, strict=True):
                weight.data.copy_(initial)
            engine.zero_gradients()
            mine = make()[parallel_state.get_data_parallel_rank() :: replicas]
            # One micro-batch a rank, which is no group of an interleaved pipeline.
            evaluated, _ = engine.evaluate(mine[:1])
            reports = engine.forward_backward(mine)
            sums, weights_by_group, counts = engine._reduce(reports)
            loss, gradients, source_sums, source_counts = oracle.found[name]
            differences, sizes, compared = [], [], 0
            for whole, part in _gradient_slices(engine, gradients):
                differences.append(float((part.double() - whole).abs().max()))
                sizes.append(float(whole.abs().max()))
                compared += part.numel()
            told[name] = {
                "loss": abs(float(sums.sum() / weights_by_group.sum()) - loss) / loss,
                "gradient": max(differences),
                "largest_gradients": sizes,
                "evaluated": abs(float(evaluated.sum()) - sum(oracle.nats[name][:replicas])),
                "by_group": float((sums - source_sums).abs().max() / source_sums.sum()),
                "counts_by_group": (counts - source_counts).abs().max().item(),
                "counted": sum(float(report["counts"].sum()) for report in reports),
                "compared": compared,
                "parameters": sum(w.numel() for w in weights),
            }
    return told


def _gradient_slices(engine, gradients):
    """(slice of the oracle's gradient, this rank's gradient) of every weight.

    The checkpoint's own description of a weight tells which slice a rank holds; gradients take the
    weights' place for it.
    """
    from geo_nemo.model.initialize import _shards

    for weight in engine.parameters():
        weight.data.copy_(weight.main_grad)
    for module in engine.modules:
        for name, described in module.sharded_state_dict().items():
            for shard in _shards({name: described}):
                if name.endswith("_extra_state"):
                    continue
                ahead = shard.prepend_axis_num
                if ahead:  # a layer's number in this chunk, and in the whole model
                    name = re.sub(r"layers\.\d+", f"layers.{shard.global_offset[0]}", name)
                whole = gradients[name]
                for axis, start in enumerate(shard.global_offset[ahead:]):
                    whole = whole.narrow(axis, start, shard.data.shape[axis])
                yield whole, shard.data
