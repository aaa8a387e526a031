"""What an engine consists of, from a run's settings: wrapped chunks, the optimizer's config."""

from typing import Any

import torch
import torch.distributed as dist
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.optimizer import MegatronOptimizer, OptimizerConfig, get_megatron_optimizer
from megatron.core.transformer.transformer_config import TransformerConfig

from geo_nemo.config import Run
from geo_nemo.model.build import DTYPES, build_model, ddp_settings
from geo_nemo.model.fp8 import optimizer_fp8
from geo_nemo.runtime.apex import output_layer_fuses
from geo_nemo.runtime.chip import check_chip, chip_of


def model_chunks(
    run: Run,
    config: TransformerConfig,
    vocab_size: int,
    device: torch.device,
    num_groups: int = 0,
) -> list[DistributedDataParallel]:
    """The chunks of an interleaved pipeline's stage, or the whole stage, with gradient buffers."""
    check_chip(run.precision, run.parallel, chip_of(device))
    chunks = run.parallel.virtual_pipeline
    wrapped = [
        _wrap(
            build_model(
                run.model,
                config,
                vocab_size,
                run.data.seq_length,
                device,
                run.seed,
                with_z_loss=run.train.z_loss > 0,
                chunk=chunk if chunks > 1 else None,
                num_groups=num_groups if run.model.group_embedding else 0,
            ),
            run,
            config,
            chunk,
        )
        for chunk in range(chunks)
    ]
    if device.type == "cuda" and run.parallel.gradient_accumulation_fusion:
        fuse_gradient_accumulation(wrapped)
    return wrapped


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The GPTModel inside its wrappers."""
    while hasattr(module, "module"):
        module = module.module
    return module


def optimizer_config(run: Run) -> OptimizerConfig:
    """Megatron-Core's settings of AdamW."""
    train = run.train
    return OptimizerConfig(
        optimizer="adam",
        lr=train.lr,
        min_lr=train.min_lr,
        adam_beta1=train.adam_beta1,
        adam_beta2=train.adam_beta2,
        adam_eps=train.adam_eps,
        weight_decay=train.weight_decay,
        clip_grad=train.clip_grad,
        bf16=run.precision.dtype == "bf16",
        params_dtype=DTYPES[run.precision.dtype],
        use_distributed_optimizer=run.parallel.distributed_optimizer,
        overlap_param_gather=run.parallel.overlap_param_gather,
        **optimizer_fp8(run.precision),
        **_moments(run),
    )


def _moments(run: Run) -> dict[str, Any]:
    """Moments in bf16, by Transformer Engine's FusedAdam."""
    if run.precision.moments == "fp32":
        return {}
    return dict(
        use_precision_aware_optimizer=True,
        exp_avg_dtype=torch.bfloat16,
        exp_avg_sq_dtype=torch.bfloat16,
        store_param_remainders=False,
    )


def make_optimizer(run: Run, chunks: list[DistributedDataParallel]) -> MegatronOptimizer:
    """AdamW over the chunks' parameters, whose fp32 weights Megatron-Core keeps itself.

    With low-precision moments it would leave them to FusedAdam unless the weights are in FP8 by
    another recipe than the delayed one. Then `.grad`, clipping, averages and checkpoints all differ
    between settings: here the one way is taken for every recipe.
    """
    config = optimizer_config(run)
    config.use_precision_aware_optimizer_no_fp8_or_ds_fp8 = False
    uses_gloo = dist.get_backend() == "gloo"
    optimizer = get_megatron_optimizer(config, chunks, use_gloo_process_groups=uses_gloo)
    if config.use_precision_aware_optimizer:
        for each in getattr(optimizer, "chained_optimizers", [optimizer]):
            begin_moments(each.optimizer)
    return optimizer


def begin_moments(adam: torch.optim.Optimizer) -> None:
    """Give FusedAdam its moments now.

    Megatron-Core 0.16.1 would do it at the first save or load, without the second argument that
    Transformer Engine 2.9 to 2.19 asks for.
    """
    for group in adam.param_groups:
        for parameter in group["params"]:
            if not adam.state[parameter]:
                adam.initialize_state(parameter, False)


def fuse_gradient_accumulation(chunks: list[torch.nn.Module]) -> tuple[int, int]:
    """Let the layers that can do so add weight gradients to their buffers; how many can.

    Of Transformer Engine's all can. Megatron-Core's own, the output layer, can where Apex's kernel
    is there; a config that asks every layer is refused where it is not.
    """
    layers = [layer for chunk in chunks for layer in chunk.modules()]
    able = [layer for layer in layers if hasattr(layer, "fuse_wgrad_accumulation")]
    for layer in able:
        layer.fuse_wgrad_accumulation = True
    own = [layer for layer in layers if hasattr(layer, "gradient_accumulation_fusion")]
    fuses = output_layer_fuses()
    for layer in own:
        layer.gradient_accumulation_fusion = fuses
    return len(able), len(own) * fuses


def _wrap(
    module: torch.nn.Module, run: Run, config: TransformerConfig, chunk: int
) -> DistributedDataParallel:
    if run.precision.dtype == "bf16":
        from megatron.core.transformer.module import Float16Module

        module = Float16Module(config, module)
    return DistributedDataParallel(
        config=config,
        ddp_config=DistributedDataParallelConfig(**ddp_settings(run.parallel, run.precision)),
        module=module,
        # The gradients of the first chunk are the last to be ready.
        disable_bucketing=chunk > 0,
    )
