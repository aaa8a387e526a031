"""FP8 and low-precision state as Megatron-Core takes them, and the sizes that they ask for.

Needs no torch. Read in megatron-core 0.16.1 and Transformer Engine 2.9 and 2.12; not run on a GPU.
tests/unit/test_signatures.py holds the fields against every version.
"""

import math
from typing import Any

from geo_nemo.config import Model, Precision, Run, UserError
from geo_nemo.config.parallel import Parallel
from geo_nemo.model.shape import padded_vocab_size

# What rows and columns of a matrix must be a multiple of. cuBLAS takes FP8 in runs of 16 values;
# blocks of one scale are 128 and 32 wide, and where they do not fit Transformer Engine refuses, or
# leaves a tensor in BF16 without a word. To 128 Megatron-Core itself pads for NVFP4.
ALIGNMENT = {"delayed": 16, "tensorwise": 16, "blockwise": 128, "mxfp8": 32, "nvfp4": 128}


def transformer_fp8(precision: Precision) -> dict[str, Any]:
    """The fields of Megatron-Core's TransformerConfig that say FP8; none for a run without it."""
    fp8 = precision.fp8
    if not fp8.on:
        return {}
    in_bf16 = dict(
        first_last_layers_bf16=fp8.first_layers_in_bf16 + fp8.last_layers_in_bf16 > 0,
        num_layers_at_start_in_bf16=fp8.first_layers_in_bf16,
        num_layers_at_end_in_bf16=fp8.last_layers_in_bf16,
    )
    if fp8.recipe == "nvfp4":
        return dict(fp4="e2m1", fp4_recipe="nvfp4", **in_bf16)
    return dict(
        fp8=fp8.format,
        fp8_recipe=fp8.recipe,
        fp8_param=fp8.parameters,
        fp8_margin=fp8.margin,
        fp8_amax_history_len=fp8.amax_history_len,
        fp8_amax_compute_algo=fp8.amax_compute_algo,
        fp8_dot_product_attention=fp8.attention == "fp8",
        **in_bf16,
    )


def ddp_fp8(precision: Precision) -> dict[str, Any]:
    """The fields of DistributedDataParallelConfig: weights in FP8 are gathered in FP8."""
    return {"fp8_param_gather": True} if precision.fp8.parameters else {}


def optimizer_fp8(precision: Precision) -> dict[str, Any]:
    """The fields of OptimizerConfig: how the weights are cast after a step."""
    recipe = precision.fp8.recipe
    return {} if recipe in ("none", "nvfp4") else {"fp8_recipe": recipe}


def token_multiple(precision: Precision, parallel: Parallel) -> int:
    """What a rank's tokens of a micro-batch must be a multiple of.

    Sequence parallelism divides them over the tensor ranks, and each quantises its own part.
    """
    split = parallel.tensor if parallel.sequence_parallel else 1
    return split * ALIGNMENT.get(precision.fp8.recipe, 1)


def fp8_layers(run: Run) -> int:
    """Number of layers that compute in FP8."""
    fp8 = run.precision.fp8
    if not fp8.on:
        return 0
    return run.model.num_layers - fp8.first_layers_in_bf16 - fp8.last_layers_in_bf16


def check_fp8(run: Run, vocab_size: int) -> None:
    """Raise `UserError` where low precision does not go with the run's sizes and settings."""
    precision, parallel = run.precision, run.parallel
    if precision.moments == "bf16" and not parallel.distributed_optimizer:
        raise UserError(
            "precision.moments=bf16 needs parallel.distributed_optimizer=true: Megatron-Core "
            "0.16.1 has them under that optimizer alone"
        )
    if not precision.fp8.on:
        return
    _check_layers(run)
    _check_settings(run)
    _check_sizes(run.model, parallel.tensor, precision.fp8.recipe, vocab_size)
    check_tokens(run)


def _check_layers(run: Run) -> None:
    fp8 = run.precision.fp8
    if fp8_layers(run) < 1:
        raise UserError(
            f"precision.fp8: {fp8.first_layers_in_bf16} first and {fp8.last_layers_in_bf16} last "
            f"layers in BF16 leave none of model.num_layers={run.model.num_layers} in FP8; "
            "choose fewer, or precision=bf16"
        )
    a_stage = run.model.num_layers // run.parallel.pipeline
    for name in ("first_layers_in_bf16", "last_layers_in_bf16"):
        if getattr(fp8, name) > a_stage:
            raise UserError(
                f"precision.fp8.{name}={getattr(fp8, name)} is more than the {a_stage} layers of "
                f"a rank under parallel.pipeline={run.parallel.pipeline}; choose {a_stage} or less"
            )


def _check_settings(run: Run) -> None:
    fp8 = run.precision.fp8
    if fp8.attention == "fp8":
        raise UserError(
            "precision.fp8.attention=fp8: packed sequences have no attention in FP8, which "
            "Transformer Engine offers for one document each (bshd, sbhd) alone; give "
            "precision.fp8.attention=bf16"
        )
    if fp8.parameters:
        if not run.parallel.distributed_optimizer:
            raise UserError(
                "precision.fp8.parameters=true needs parallel.distributed_optimizer=true, which "
                "casts the fp32 weights to FP8 after each step"
            )
        if run.average.is_kept:
            raise UserError(
                "precision.fp8.parameters=true and average.kind: an average of weights cannot be "
                "put in place of weights in FP8; give precision.fp8.parameters=false"
            )


def _check_sizes(model: Model, tensor: int, recipe: str, vocab_size: int) -> None:
    multiple = ALIGNMENT[recipe]
    padded = padded_vocab_size(model, vocab_size)
    divisible_by = math.lcm(model.make_vocab_size_divisible_by, 16 * tensor)
    choose = f"choose a multiple of {multiple * tensor}, or precision=bf16"
    sizes = (
        ("model.hidden_size", model.hidden_size, 1, multiple, choose),
        ("model.ffn_hidden_size", model.ffn_hidden_size, tensor, multiple, choose),
        ("num_attention_heads x kv_channels", model.query_size, tensor, multiple, choose),
        ("num_query_groups x kv_channels", model.key_size, tensor, multiple, choose),
        # The output layer stays in BF16: for it, what the fast kernels take is enough.
        ("the padded vocabulary", padded, tensor, 16,
         f"set model.make_vocab_size_divisible_by={divisible_by}"),
    )  # fmt: skip
    for name, size, ranks, needed, mend in sizes:
        if size % (ranks * needed):
            over = f" over parallel.tensor={ranks}" if ranks > 1 else ""
            raise UserError(
                f"precision.fp8.recipe={recipe}: {name} = {size}{over} is not a multiple of "
                f"{needed} a rank; {mend}"
            )


def check_tokens(run: Run) -> None:
    """Raise `UserError` where a micro-batch's tokens are not what FP8 asks for.

    Sequences that context ranks share are padded (geo_nemo.model.context); others are as they are.
    """
    if not run.precision.fp8.on or run.parallel.context > 1:
        return
    size, length = run.train.micro_batch_size, run.data.seq_length
    multiple = token_multiple(run.precision, run.parallel)
    if size * length % multiple:
        raise UserError(
            f"precision.fp8.recipe={run.precision.fp8.recipe}: data.seq_length={length} x "
            f"train.micro_batch_size={size} = {size * length} tokens are not a multiple of "
            f"{multiple}; choose data.seq_length={-(-length // multiple) * multiple}"
        )
