"""The rules of a parallel layout, checked before a process group, a GPU or a job exists.

Needs no torch. Every message names the key, the value and the mend.

Key-value heads need not divide by tensor x context: context-parallel ranks pass keys and values on
(Transformer Engine's p2p) or gather them (DocumentAttention), and never exchange heads.
"""

import math
from dataclasses import dataclass

from geo_nemo.config import Model, Parallel, Run, UserError
from geo_nemo.model.shape import padded_vocab_size


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a run on a number of processes.

    micro_batches: that a data-parallel rank takes a step. layers: of a chunk of a pipeline rank.
    """

    parallel: Parallel
    data: int
    micro_batches: int
    layers: int

    @property
    def bubble(self) -> float:
        """Fraction of a step that a pipeline rank waits (Narayanan et al., arXiv 2104.04473)."""
        waits = (self.parallel.pipeline - 1) / self.parallel.virtual_pipeline
        return waits / (self.micro_batches + waits)

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for people, in the order of the ranks, the fastest first."""
        parallel = self.parallel
        sizes = (parallel.tensor, parallel.context, self.data, parallel.pipeline)
        found = [
            ("tensor x context x data x pipeline", " x ".join(map(str, sizes))),
            ("micro-batches a step and rank", f"{self.micro_batches}"),
            ("layers a pipeline rank", f"{parallel.virtual_pipeline} x {self.layers}"),
        ]
        if parallel.pipeline > 1:
            found.append(("pipeline bubble", f"{self.bubble:.1%}"))
        return found


def check_layout(run: Run, vocab_size: int, world_size: int) -> Layout:
    """The layout of `run` on `world_size` processes; `UserError` where it cannot be."""
    parallel = run.parallel
    _check_tensor(run.model, parallel.tensor, vocab_size)
    _check_pipeline(run.model, parallel)
    check_sequence(run)
    _check_overlap(parallel)
    _check_world(parallel, world_size)
    data = parallel.data_parallel_size(world_size)
    micro_batches = _check_batch(run, data)
    layers = run.model.num_layers // (parallel.pipeline * parallel.virtual_pipeline)
    return Layout(parallel, data, micro_batches, layers)


def _check_tensor(model: Model, tensor: int, vocab_size: int) -> None:
    for name in ("num_attention_heads", "num_query_groups", "ffn_hidden_size"):
        size = getattr(model, name)
        if size % tensor:
            raise UserError(
                f"model.{name}: {size} is not a multiple of parallel.tensor={tensor}; "
                f"choose a tensor size that divides it, such as {math.gcd(size, tensor)}"
            )
    padded = padded_vocab_size(model, vocab_size)
    if padded % tensor:
        multiple = math.lcm(model.make_vocab_size_divisible_by, tensor)
        raise UserError(
            f"model: vocabulary {vocab_size} padded to {padded}: {padded} is not a multiple of "
            f"parallel.tensor={tensor}; set model.make_vocab_size_divisible_by={multiple}, "
            "for a run that has no checkpoint yet"
        )


def _check_pipeline(model: Model, parallel: Parallel) -> None:
    pipeline, chunks = parallel.pipeline, parallel.virtual_pipeline
    if model.num_layers % pipeline:
        raise UserError(
            f"model.num_layers={model.num_layers} is not a multiple of "
            f"parallel.pipeline={pipeline}; choose a pipeline size that divides it, such as "
            f"{math.gcd(model.num_layers, pipeline)}"
        )
    if chunks == 1:
        return
    if pipeline == 1:
        raise UserError(
            f"parallel.virtual_pipeline={chunks} needs parallel.pipeline above 1; "
            "set parallel.virtual_pipeline=1"
        )
    layers = model.num_layers // pipeline
    if layers % chunks:
        raise UserError(
            f"model.num_layers={model.num_layers}: the {layers} layers of a pipeline rank do not "
            f"divide into parallel.virtual_pipeline={chunks} chunks; choose a number that divides "
            f"{layers}, such as {math.gcd(layers, chunks)}"
        )


def check_sequence(run: Run) -> None:
    """The tokens of a packed sequence over the ranks that divide them; `UserError` for too few.

    Under context parallelism a sequence is padded to whatever its ranks need
    (geo_nemo.model.context).
    """
    parallel, tensor = run.parallel, run.parallel.tensor
    if parallel.sequence_parallel:
        if tensor == 1:
            raise UserError(
                "parallel.sequence_parallel needs parallel.tensor above 1; "
                "set parallel.sequence_parallel=false"
            )
        tokens = run.train.micro_batch_size * run.data.seq_length
        if parallel.context == 1 and tokens % tensor:
            raise UserError(
                f"data.seq_length={run.data.seq_length} x train.micro_batch_size="
                f"{run.train.micro_batch_size} = {tokens} tokens are not a multiple of "
                f"parallel.tensor={tensor}, as parallel.sequence_parallel needs; choose "
                f"data.seq_length={-(-run.data.seq_length // tensor) * tensor}"
            )
    if 2 * parallel.context > run.data.seq_length:
        raise UserError(
            f"parallel.context={parallel.context}: data.seq_length={run.data.seq_length} has less "
            f"than two tokens a rank; choose {max(run.data.seq_length // 2, 1)} or less"
        )


def _check_overlap(parallel: Parallel) -> None:
    if parallel.overlap_param_gather and not parallel.distributed_optimizer:
        raise UserError("parallel.overlap_param_gather needs parallel.distributed_optimizer=true")
    if parallel.overlap_param_gather and not parallel.overlap_grad_reduce:
        raise UserError("parallel.overlap_param_gather needs parallel.overlap_grad_reduce=true")


def _check_world(parallel: Parallel, world_size: int) -> None:
    size = parallel.model_parallel_size
    if world_size % size:
        context = f" x parallel.context={parallel.context}" * (parallel.context > 1)
        raise UserError(
            f"parallel.tensor={parallel.tensor} x parallel.pipeline={parallel.pipeline}{context} "
            f"needs a multiple of {size} processes, and this job has {world_size}: "
            f"give it {size}, as by torchrun --nproc-per-node {size}, or another layout"
        )


def _check_batch(run: Run, data: int) -> int:
    train, parallel = run.train, run.parallel
    per_step = train.micro_batch_size * data
    if train.global_batch_size % per_step:
        raise UserError(
            f"train.global_batch_size={train.global_batch_size} is not a multiple of "
            f"train.micro_batch_size={train.micro_batch_size} x {data} data-parallel "
            f"ranks = {per_step}; choose a multiple of {per_step}"
        )
    micro_batches = train.global_batch_size // per_step
    if parallel.virtual_pipeline > 1 and micro_batches % parallel.pipeline:
        needed = per_step * parallel.pipeline
        raise UserError(
            f"parallel.virtual_pipeline={parallel.virtual_pipeline} takes micro-batches in groups "
            f"of parallel.pipeline={parallel.pipeline}, and train.global_batch_size="
            f"{train.global_batch_size} gives {micro_batches} a rank; "
            f"choose a multiple of {needed}, or a smaller train.micro_batch_size"
        )
    return micro_batches
