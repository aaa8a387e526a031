"""What an engine consists of, from a run's settings: wrapped chunks, the optimizer's config."""

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.optimizer import OptimizerConfig
from megatron.core.transformer.transformer_config import TransformerConfig

from geo_nemo.config import Run
from geo_nemo.model.build import DTYPES, build_model


def model_chunks(
    run: Run, config: TransformerConfig, vocab_size: int, device: torch.device
) -> list[DistributedDataParallel]:
    """The chunks of an interleaved pipeline's stage, or the whole stage, with gradient buffers."""
    chunks = run.parallel.virtual_pipeline
    return [
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
            ),
            run,
            config,
            chunk,
        )
        for chunk in range(chunks)
    ]


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
    )


def _wrap(module, run: Run, config: TransformerConfig, chunk: int) -> DistributedDataParallel:
    if run.precision.dtype == "bf16":
        from megatron.core.transformer.module import Float16Module

        module = Float16Module(config, module)
    return DistributedDataParallel(
        config=config,
        ddp_config=DistributedDataParallelConfig(
            grad_reduce_in_fp32=True,
            use_distributed_optimizer=run.parallel.distributed_optimizer,
            overlap_grad_reduce=run.parallel.overlap_grad_reduce,
            overlap_param_gather=run.parallel.overlap_param_gather,
            # Sums over ranks; the division by the token count comes once, at the end.
            average_in_collective=False,
        ),
        module=module,
        # The gradients of the first chunk are the last to be ready.
        disable_bucketing=chunk > 0,
    )
