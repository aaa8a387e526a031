"""What a run would take, before it is run: sizes, memory, checkpoints, stages and time.

From the config alone, and, where there is a store, from its columns and one packing window a stage.
Needs no torch.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from geo_nemo.config import Parallel, Run, UserError
from geo_nemo.config.stage_bounds import own_samples, stage_samples
from geo_nemo.config.stage_sizes import stage_run, step_tokens
from geo_nemo.data.dataset import Statistics
from geo_nemo.data.outline import GroupOutline, Outline, outline_stages
from geo_nemo.data.parts import replayed_stages
from geo_nemo.model.flops import MEMORY_GIB, peak_flops, train_flops
from geo_nemo.model.layout import Layout, check_layout
from geo_nemo.model.memory import CheckpointSize, Memory, checkpoint_size, worst_rank
from geo_nemo.model.shape import padded_vocab_size, parameter_count
from geo_nemo.train.setup import SPLIT, Prepared
from geo_nemo.train.stage_steps import plan_stages

GIB = 1 << 30
# Of a chip's memory; CUDA's context, NCCL's buffers and fragmentation take the rest.
USABLE = 0.9
# Ways to make a run fit, in the order in which they are tried: sizes of tensor and pipeline.
_LAYOUTS = ((1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 4), (8, 8))


@dataclass(frozen=True, slots=True)
class Assumptions:
    """chip: whose peak and memory are taken, a key of MEMORY_GIB; None where only tflops is known.

    tflops: dense peak of one chip, instead of the chip's own. mfu: fraction of it that is reached.
    """

    chip: str | None = "H100"
    tflops: float | None = None
    mfu: float = 0.4


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a stage reads again. sequences: of `samples`. of: the stages that have read it."""

    sequences: int
    samples: int
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage. What follows from the store is None, or empty, where there is none.

    flops_per_token: by the formula of the MFU metric, over the segments of real sequences; without
    a store every sequence is taken for one document, which is the most that attention can cost.
    """

    name: str
    fields: tuple[str, ...]
    policy_hash: str
    steps: int
    tokens: int
    flops_per_token: float
    replayed: Replayed | None = None
    documents: int | None = None
    epochs: float | None = None
    statistics: Statistics | None = None
    countries: tuple[GroupOutline, ...] = ()
    by: str = "country"
    groups: tuple[GroupOutline, ...] = ()
    others: dict[str, tuple[GroupOutline, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Time:
    """What `mfu` of `peak_tflops` on every GPU comes to."""

    chip: str | None
    peak_tflops: float
    mfu: float
    tokens_per_second: float
    seconds_per_step: float
    seconds: float
    gpu_hours: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A run in numbers; plain values all the way down.

    parameters: without the padding of the vocabulary; padded_parameters: with it.
    tokens_per_step: positions, padding included, of the stage that takes most.
    memory: of the rank that needs most. chip_bytes: what a chip has, where one is named.
    kept_checkpoints: how many stay at once. time: None where the chip's peak is not known.
    """

    name: str
    store: str | None
    vocab_size: int
    parameters: int
    padded_parameters: int
    gpus: int
    layout: Layout
    bubble: float
    tokens_per_step: int
    steps: int
    tokens: int
    flops_per_token: float
    flops: float
    memory: Memory
    memory_total: int
    chip: str | None
    chip_bytes: int | None
    checkpoint: CheckpointSize
    kept_checkpoints: int
    time: Time | None
    stages: tuple[StageLine, ...]


def plan_prepared(prepared: Prepared, world_size: int, assumed: Assumptions) -> Plan:
    """The plan of a run whose store is open."""
    run, tokenizer = prepared.run, prepared.tokenizer
    outlines = outline_stages(run, prepared.store.split(SPLIT), tokenizer)
    return make_plan(run, prepared.vocab_size, world_size, assumed, outlines, run.data.store)


def make_plan(
    run: Run,
    vocab_size: int,
    world_size: int,
    assumed: Assumptions,
    outlines: Mapping[str, Outline] | None = None,
    store: str | None = None,
) -> Plan:
    """The plan of a run; without `outlines` of its stages, of the sizes alone.

    Raises `UserError` where the layout cannot be.
    """
    layout = check_layout(run, vocab_size, world_size)
    stages = tuple(_stage_lines(run, vocab_size, outlines or {}))
    memory = _most(run, vocab_size, world_size)
    tokens = sum(stage.tokens for stage in stages)
    flops = sum(stage.tokens * stage.flops_per_token for stage in stages)
    return Plan(
        name=run.name,
        store=store,
        vocab_size=vocab_size,
        parameters=parameter_count(run.model, vocab_size),
        padded_parameters=parameter_count(run.model, padded_vocab_size(run.model, vocab_size)),
        gpus=world_size,
        layout=layout,
        bubble=layout.bubble,
        tokens_per_step=max(step_tokens(run, name) for name in run.stages),
        steps=run.train.steps,
        tokens=tokens,
        flops_per_token=flops / tokens,
        flops=flops,
        memory=memory,
        memory_total=memory.total,
        chip=assumed.chip,
        chip_bytes=MEMORY_GIB[assumed.chip] * GIB if assumed.chip else None,
        checkpoint=checkpoint_size(run, vocab_size),
        kept_checkpoints=run.checkpoint.keep_last + run.checkpoint.keep_best,
        time=_time(run, world_size, assumed, tokens, flops),
        stages=stages,
    )


def _stage_lines(run: Run, vocab_size: int, outlines: Mapping[str, Outline]) -> Iterator[StageLine]:
    for stage in plan_stages(run):
        outline = outlines.get(stage.name)
        found: dict[str, Any] = {}
        lengths = np.array([stage.seq_length])
        if outline is not None:
            lengths = outline.lengths
            names = ("documents", "epochs", "statistics", "countries", "by", "groups", "others")
            found = {name: getattr(outline, name) for name in names}
        positions = int(lengths.sum())
        yield StageLine(
            name=stage.name,
            fields=stage.policy.fields,
            policy_hash=stage.policy.hash(),
            steps=stage.steps,
            tokens=stage.steps * stage.step_tokens,
            flops_per_token=train_flops(run.model, vocab_size, positions, lengths) / positions,
            replayed=_replayed(run, stage.name),
            **found,
        )


def _replayed(run: Run, stage: str) -> Replayed | None:
    """None where a stage reads only what is new."""
    if run.stages[stage].replay is None:
        return None
    samples = stage_samples(run, stage)
    return Replayed(samples - own_samples(run, stage), samples, tuple(replayed_stages(run, stage)))


def _time(
    run: Run, world_size: int, assumed: Assumptions, tokens: int, flops: float
) -> Time | None:
    peak = assumed.tflops * 1e12 if assumed.tflops else None
    if peak is None and assumed.chip:
        peak = peak_flops(assumed.chip, run.precision.dtype)
    if peak is None:
        return None
    seconds = flops / (world_size * peak * assumed.mfu)
    return Time(
        chip=None if assumed.tflops else assumed.chip,
        peak_tflops=peak / 1e12,
        mfu=assumed.mfu,
        tokens_per_second=tokens / seconds,
        seconds_per_step=seconds / run.train.steps,
        seconds=seconds,
        gpu_hours=seconds * world_size / 3600,
    )


def _as_plan_asks(gpus: int) -> str:
    return f"--gpus {gpus}"


def check_fit(
    plan: Plan,
    run: Run,
    asks: Callable[[int], str] = _as_plan_asks,
    otherwise: str = "choose a smaller model, or a chip with more memory",
) -> None:
    """Raise `UserError` with a way out where a rank needs more than a chip has.

    asks: how the command at hand is asked for so many GPUs. otherwise: where no setting helps.
    """
    if plan.chip_bytes is None or plan.memory_total <= USABLE * plan.chip_bytes:
        return
    raise UserError(
        f"a rank needs {plan.memory_total / GIB:,.1f} GiB, more than {USABLE:.0%} of the "
        f"{plan.chip_bytes / GIB:.0f} GiB of the {plan.chip}; "
        f"{_way_out(plan, run, asks) or otherwise}"
    )


def _way_out(plan: Plan, run: Run, asks: Callable[[int], str]) -> str | None:
    """Settings, as they are typed, under which the run fits; the least parallel ones first."""
    micro_batches = sorted({run.train.micro_batch_size, 1}, reverse=True)
    for recompute, (tensor, pipeline), micro_batch_size in product(
        ("none", "selective", "full"), _LAYOUTS, micro_batches
    ):
        changes: dict[str, Any] = {
            "tensor": tensor,
            "pipeline": pipeline,
            "sequence_parallel": tensor > 1,
        }
        changes |= {"virtual_pipeline": 1, "recompute": recompute}
        other = run.model_copy(
            update={
                "parallel": Parallel(**{**run.parallel.model_dump(), **changes}),
                "train": run.train.model_copy(update={"micro_batch_size": micro_batch_size}),
            }
        )
        size = other.parallel.model_parallel_size
        gpus = -(-plan.gpus // size) * size
        need = _need(other, plan.vocab_size, gpus)
        if need is not None and need <= USABLE * (plan.chip_bytes or 0):
            settings = [f"parallel.{key}={str(value).lower()}" for key, value in changes.items()
                        if value != getattr(run.parallel, key)]  # fmt: skip
            if micro_batch_size != run.train.micro_batch_size:
                settings.append(f"train.micro_batch_size={micro_batch_size}")
            if gpus != plan.gpus:
                settings.append(asks(gpus))
            return f"it is {need / GIB:,.1f} GiB with {' '.join(settings)}"
    return None


def _most(run: Run, vocab_size: int, gpus: int) -> Memory:
    """Of the rank that needs most, in the stage that needs most."""
    stages = (stage_run(run, name) for name in run.stages)
    needs = (worst_rank(here, vocab_size, check_layout(here, vocab_size, gpus)) for here in stages)
    return max(needs, key=lambda memory: memory.total)


def _need(run: Run, vocab_size: int, gpus: int) -> int | None:
    try:
        return _most(run, vocab_size, gpus).total
    except UserError:
        return None
