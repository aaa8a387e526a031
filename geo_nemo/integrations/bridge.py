"""Megatron-Bridge: the dataset provider, model provider, forward step and recipe of any run.

from geo_nemo.integrations.bridge import forward_step, recipe
pretrain(recipe(["experiment=localization/1b_global_with", "data.store=S", ...]), forward_step)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_nemo.integrations.missing import need

need("megatron.bridge.training.config", "megatron-bridge 0.3.1 or 0.6", "bridge")

import torch  # noqa: E402
from megatron.bridge.models.gpt_provider import GPTModelProvider  # noqa: E402
from megatron.bridge.training.config import (  # noqa: E402
    CheckpointConfig,
    ConfigContainer,
    DatasetBuildContext,
    DatasetProvider,
    DistributedDataParallelConfig,
    DistributedInitConfig,
    LoggerConfig,
    OptimizerConfig,
    RNGConfig,
    SchedulerConfig,
    TrainingConfig,
)
from megatron.bridge.training.state import GlobalState  # noqa: E402
from megatron.bridge.training.tokenizers.config import TokenizerConfig  # noqa: E402
from megatron.core import parallel_state  # noqa: E402

from geo_nemo.config import Run, UserError  # noqa: E402
from geo_nemo.integrations.job import (  # noqa: E402
    keep_to_settings,
    load_job,
    refuse_inexact,
    refuse_unserved,
)
from geo_nemo.integrations.run_sequences import RunSequences, as_batch  # noqa: E402
from geo_nemo.model.build import build_model, ddp_settings, transformer_settings  # noqa: E402
from geo_nemo.model.context import ContextRank  # noqa: E402
from geo_nemo.model.shape import padded_vocab_size  # noqa: E402
from geo_nemo.runtime.device import resolve_device  # noqa: E402
from geo_nemo.train.loss import masked_loss  # noqa: E402
from geo_nemo.train.micro_batch import forward, to_device  # noqa: E402


@dataclass(kw_only=True)
class PackedDatasetProvider(DatasetProvider):
    """Sequences of every stage in turn, for training. settings: those of `geo-nemo train`."""

    settings: tuple[str, ...]
    dataloader_type: str = "single"
    num_workers: int = 0
    data_sharding: bool = False

    def build_datasets(self, context: DatasetBuildContext) -> tuple[RunSequences, None, None]:
        """The sequences of the run; validation is served by geo-nemo train alone.

        Raises UserError where the folder's checkpoints are of other settings.
        """
        job = load_job(self.settings)
        keep_to_settings(job, checkpoint_folder(job.run), "iter_*")
        return RunSequences(job), None, None


@dataclass
class RunProvider(GPTModelProvider):
    """This project's model, with the weights that `geo-nemo train` begins with."""

    settings: tuple[str, ...] = ()

    def provide(self, pre_process=None, post_process=None, vp_stage=None) -> torch.nn.Module:
        job = load_job(self.settings)
        run = job.run
        device = resolve_device(run.device)
        self.use_cpu_initialization = device.type == "cpu"  # Bridge has set it to its own default
        return build_model(
            run.model,
            self,
            job.tokenizer.vocab_size,
            run.data.seq_length,
            device,
            run.seed,
            with_z_loss=run.train.z_loss > 0,
        )


def forward_step(
    state: GlobalState, data_iterator: Iterator, model: torch.nn.Module
) -> tuple[torch.Tensor, Callable]:
    """One micro-batch: -log p(label) of a packed sequence, and what makes the exact loss of it.

    Raises UserError where the config would make a mean of means of it.
    """
    refuse_inexact(state.cfg.model.calculate_per_token_loss, state.cfg.ddp.average_in_collective)
    job = load_job(state.cfg.dataset.settings)
    parallel = job.run.parallel
    context = ContextRank(
        parallel_state.get_context_parallel_rank(),
        parallel.context,
        multiple=parallel.tensor if parallel.sequence_parallel else 1,
    )
    device = next(model.parameters()).device
    tensors = to_device(as_batch(next(data_iterator)), device, context)
    exact = masked_loss(
        tensors["loss_mask"],
        tensors["group_ids"],
        job.groups.size,
        job.run.train.z_loss,
    )

    def loss(output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        total, count, report = exact(output)
        # Bridge divides one by the other over micro-batches and ranks.
        shown = torch.stack([report["sums"].sum(), report["counts"].sum()])
        return total, count, {"lm loss": shown}

    return forward(model, tensors), loss


def recipe(settings: Sequence[str], num_workers: int = 0) -> ConfigContainer:
    """Bridge's config of the run that SETTINGS describe; train it with `forward_step`.

    Raises UserError for settings that Bridge's trainer does not keep to.
    """
    settings = tuple(settings)
    job = load_job(settings)
    run = job.run
    refuse_unserved(run, "Megatron-Bridge")
    if any(stage.lr for stage in run.stages.values()):
        raise UserError(
            "stages.*.lr is served by geo-nemo train alone: Megatron-Bridge has its own clock of "
            "the learning rate; leave the stages' lr out"
        )
    device = resolve_device(run.device)
    train = run.train
    return ConfigContainer(
        rng=RNGConfig(seed=run.seed),
        train=TrainingConfig(
            train_iters=train.steps,
            global_batch_size=train.global_batch_size,
            micro_batch_size=train.micro_batch_size,
            eval_iters=0,
            # Never: it takes no zero.
            eval_interval=train.steps + 1,
        ),
        model=RunProvider(
            **transformer_settings(
                run.model, run.parallel, run.precision, device, run.deterministic
            ),
            seq_length=run.data.seq_length,
            vocab_size=padded_vocab_size(run.model, job.tokenizer.vocab_size),
            should_pad_vocab=False,
            share_embeddings_and_output_weights=run.model.share_embeddings_and_output_weights,
            make_vocab_size_divisible_by=run.model.make_vocab_size_divisible_by,
            position_embedding_type="rope",
            rotary_base=run.model.rotary_base,
            settings=settings,
        ),
        optimizer=_optimizer(run),
        scheduler=SchedulerConfig(
            lr_decay_style="cosine",
            lr_decay_iters=train.steps,
            lr_warmup_iters=train.warmup_steps,
            start_weight_decay=train.weight_decay,
            end_weight_decay=train.weight_decay,
            weight_decay_incr_style="constant",
        ),
        ddp=DistributedDataParallelConfig(**ddp_settings(run.parallel, run.precision)),
        dataset=PackedDatasetProvider(
            settings=settings, num_workers=num_workers, pin_memory=device.type == "cuda"
        ),
        logger=LoggerConfig(log_interval=run.logging.every_steps),
        tokenizer=TokenizerConfig(
            tokenizer_type="NullTokenizer", vocab_size=job.tokenizer.vocab_size
        ),
        checkpoint=CheckpointConfig(
            save=str(checkpoint_folder(run)),
            load=str(checkpoint_folder(run)),
            save_interval=run.checkpoint.every_steps,
            ckpt_format="torch_dist",
            # Nothing in a step is random: sequences come from the seed, and there is no dropout.
            save_rng=False,
            load_rng=False,
        ),
        dist=DistributedInitConfig(distributed_backend="nccl" if device.type == "cuda" else "gloo"),
    )


def checkpoint_folder(run: Run) -> Path:
    """Bridge's checkpoints of a run, `iter_0000004` and so on."""
    return Path(run.output_dir) / "bridge"


def _optimizer(run: Run) -> OptimizerConfig:
    from geo_nemo.train.parts import optimizer_config

    ours: dict[str, Any] = vars(optimizer_config(run))
    names = (
        "optimizer lr min_lr adam_beta1 adam_beta2 adam_eps weight_decay clip_grad bf16 "
        "params_dtype use_distributed_optimizer overlap_param_gather"
    )
    return OptimizerConfig(**{name: ours[name] for name in names.split()})
