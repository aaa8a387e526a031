"""The NeMo 2 recipe of any run: what `llm.pretrain` needs, as configs that NeMo-Run can send."""

from collections.abc import Sequence
from pathlib import Path

import fiddle
import nemo_run
import torch
from megatron.core.distributed import DistributedDataParallelConfig
from nemo import lightning as nl
from nemo.collections.llm.api import pretrain as llm_pretrain

from geo_nemo.config import Run, UserError
from geo_nemo.integrations.job import load_run, refuse_unserved
from geo_nemo.integrations.nemo.data import PackedDataModule
from geo_nemo.integrations.nemo.model import ExactGPTModel
from geo_nemo.model.build import DTYPES, ddp_settings
from geo_nemo.runtime.device import resolve_device


def recipe(
    settings: Sequence[str],
    num_nodes: int = 1,
    devices: int = 1,
    num_workers: int = 0,
    callbacks: Sequence = (),
) -> nemo_run.Partial:
    """`llm.pretrain` of the run that SETTINGS describe, not yet called.

    num_nodes, devices: nodes, and processes of each. callbacks: Lightning's, or configs of them.
    """
    settings = list(settings)
    run = load_run(settings)
    refuse_unserved(run, "NeMo")
    return nemo_run.Partial(
        llm_pretrain,
        model=nemo_run.Config(ExactGPTModel, settings=settings),
        data=nemo_run.Config(PackedDataModule, settings=settings, num_workers=num_workers),
        trainer=_trainer(run, num_nodes, devices, callbacks),
        log=_logger(run),
        resume=nemo_run.Config(
            nl.AutoResume, resume_if_exists=True, resume_ignore_no_checkpoint=True
        ),
    )


def pretrain(settings: Sequence[str], **options) -> Path:
    """Train by NeMo's `llm.pretrain`; the folder of its logs and checkpoints.

    settings: those of `geo-nemo train`. options: those of `recipe`.
    """
    return fiddle.build(recipe(settings, **options))()


def _trainer(run: Run, num_nodes: int, devices: int, callbacks: Sequence) -> nemo_run.Config:
    parallel = run.parallel
    model_parallel = parallel.tensor * parallel.pipeline * parallel.context
    if num_nodes * devices % model_parallel:
        raise UserError(
            f"{num_nodes} x {devices} processes are no multiple of tensor x pipeline x context = "
            f"{model_parallel}: change num_nodes, devices or parallel"
        )
    dtype = DTYPES[run.precision.dtype]
    return nemo_run.Config(
        nl.Trainer,
        accelerator="gpu" if resolve_device(run.device).type == "cuda" else "cpu",
        num_nodes=num_nodes,
        devices=devices,
        max_steps=run.train.steps,
        accumulate_grad_batches=1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=run.logging.every_steps,
        use_distributed_sampler=False,
        # NeMo's logger adds its own.
        enable_checkpointing=False,
        callbacks=list(callbacks),
        plugins=nemo_run.Config(
            nl.MegatronMixedPrecision,
            precision="bf16-mixed" if dtype is torch.bfloat16 else "32",
            params_dtype=dtype,
            pipeline_dtype=dtype,
            autocast_enabled=False,
            grad_reduce_in_fp32=True,
        ),
        strategy=nemo_run.Config(
            nl.MegatronStrategy,
            tensor_model_parallel_size=parallel.tensor,
            pipeline_model_parallel_size=parallel.pipeline,
            context_parallel_size=parallel.context,
            sequence_parallel=parallel.sequence_parallel,
            pipeline_dtype=dtype,
            ckpt_async_save=False,
            gradient_as_bucket_view=True,
            ddp=nemo_run.Config(
                DistributedDataParallelConfig, **ddp_settings(parallel, run.precision)
            ),
        ),
    )


def _logger(run: Run) -> nemo_run.Config:
    return nemo_run.Config(
        nl.NeMoLogger,
        name=run.name,
        log_dir=run.output_dir,
        use_datetime_version=False,
        ckpt=nemo_run.Config(
            nl.ModelCheckpoint,
            monitor="reduced_train_loss",
            save_last="link",
            save_top_k=1,
            every_n_train_steps=run.checkpoint.every_steps,
            always_save_context=False,
            save_context_on_train_end=False,
        ),
    )
