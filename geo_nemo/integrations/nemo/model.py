"""NeMo's GPTModel in the shape of a run, with packed sequences, the exact loss and our schedule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from nemo.collections import llm
from nemo.lightning.megatron_parallel import MegatronLossReduction
from nemo.lightning.pytorch.optim import LRSchedulerModule, MegatronOptimizerModule

from geo_nemo.config import Run
from geo_nemo.config.rates import learning_rate
from geo_nemo.integrations.job import load_job, load_run
from geo_nemo.integrations.run_sequences import as_batch
from geo_nemo.model.build import build_model, transformer_settings
from geo_nemo.model.context import ContextRank
from geo_nemo.runtime.device import resolve_device
from geo_nemo.train.loss import LossOutput, masked_loss
from geo_nemo.train.micro_batch import forward, to_device
from geo_nemo.train.parts import optimizer_config


@dataclass
class RunConfig(llm.GPTConfig):
    """NeMo's config of a run's model. settings: those of `geo-nemo train`."""

    settings: Sequence[str] = ()

    def configure_model(
        self, tokenizer, pre_process=None, post_process=None, vp_stage: int | None = None
    ) -> torch.nn.Module:
        """This project's model: the same weights as `geo-nemo train` begins with."""
        job = load_job(self.settings)
        run = job.run
        return build_model(
            run.model,
            self,
            job.tokenizer.vocab_size,
            run.data.seq_length,
            resolve_device(run.device),
            run.seed,
            with_z_loss=run.train.z_loss > 0,
        )


def model_config(settings: Sequence[str]) -> RunConfig:
    """The config of the run that SETTINGS describe."""
    run = load_run(settings)
    return RunConfig(
        **transformer_settings(
            run.model,
            run.parallel,
            run.precision,
            resolve_device(run.device),
            run.deterministic,
        ),
        seq_length=run.data.seq_length,
        share_embeddings_and_output_weights=run.model.share_embeddings_and_output_weights,
        make_vocab_size_divisible_by=run.model.make_vocab_size_divisible_by,
        position_embedding_type="rope",
        rotary_base=run.model.rotary_base,
        settings=tuple(settings),
    )


class ExactLoss(MegatronLossReduction):
    """Sum and count of a micro-batch for the gradients; the mean over the global batch to log.

    by_group: nats and trained tokens of the last global batch by group, [2, num_groups].
    """

    def __init__(self, num_groups: int, z_loss: float = 0.0):
        super().__init__()
        self.num_groups = num_groups
        self.z_loss = z_loss
        self.by_group: torch.Tensor | None = None

    def forward(self, batch: dict[str, Any], forward_out: torch.Tensor) -> LossOutput:
        loss = masked_loss(batch["loss_mask"], batch["group_ids"], self.num_groups, self.z_loss)
        return loss(forward_out)

    def reduce(self, losses_reduced_per_micro_batch: list[dict[str, torch.Tensor]]) -> torch.Tensor:
        """Mean nats over the trained tokens of all ranks; 0 where none is trained."""
        reports = losses_reduced_per_micro_batch
        total = torch.stack([torch.stack([r["sums"], r["counts"]]) for r in reports]).sum(0)
        group = parallel_state.get_data_parallel_group(with_context_parallel=True)
        dist.all_reduce(total, group=group)
        self.by_group = total
        nats, tokens = total.sum(-1)
        return (nats / tokens.clamp(min=1)).float()


class ExactSteps:
    """How a NeMo GPTModel reads packed sequences and what its loss is; put it before the class.

    Its trainer's data module is a PackedDataModule.
    """

    reads_packed_sequences = True

    def data_step(self, dataloader_iter: Iterator) -> dict[str, Any]:
        """The next micro-batch as one packed sequence, [1, t], on the model's device."""
        batch = next(dataloader_iter)
        if isinstance(batch, tuple):
            batch = batch[0]
        parallel = self.trainer.datamodule.job.run.parallel
        context = ContextRank(
            parallel_state.get_context_parallel_rank(),
            parallel.context,
            multiple=parallel.tensor if parallel.sequence_parallel else 1,
        )
        return to_device(as_batch(batch), next(self.parameters()).device, context)

    def forward_step(self, batch: dict[str, Any]) -> torch.Tensor:
        """-log p(label), [1, t], on the last pipeline stage."""
        return forward(self, batch)

    @property
    def training_loss_reduction(self) -> ExactLoss:
        if not getattr(self, "_exact_loss", None):
            job = self.trainer.datamodule.job
            self._exact_loss = ExactLoss(job.groups.size, job.run.train.z_loss)
        return self._exact_loss

    @property
    def validation_loss_reduction(self) -> ExactLoss:
        return self.training_loss_reduction


class ExactGPTModel(ExactSteps, llm.GPTModel):
    """The model of the run that SETTINGS describe."""

    def __init__(self, settings: Sequence[str], optim: Any = None, tokenizer: Any = None):
        run = load_run(settings)
        if resolve_device(run.device).type == "cpu":
            from geo_nemo.integrations.nemo import cpu

            cpu.install()
        super().__init__(
            model_config(settings), optim=optim or optimizer(settings), tokenizer=tokenizer
        )


class RunRate(torch.optim.lr_scheduler.LRScheduler):
    """The learning rate of `geo_nemo.config.rates` for torch's kind of optimizer."""

    def __init__(self, optimizer, run: Run):
        self.run = run
        super().__init__(optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Plain values alone: a checkpoint is read without running pickled code."""
        return {key: value for key, value in super().state_dict().items() if key != "run"}

    def get_lr(self) -> list[float]:
        """The rate of every parameter group at this step."""
        rate = learning_rate(self.run, min(self.last_epoch, self.run.train.steps))
        return [rate for _ in self.optimizer.param_groups]


class RunRateModule(LRSchedulerModule):
    """NeMo's holder of `RunRate`. settings: those of `geo-nemo train`."""

    def __init__(self, settings: Sequence[str]):
        super().__init__()
        self.settings = tuple(settings)

    def scheduler(self, model, optimizer) -> dict[str, Any]:
        clock = RunRate(optimizer, load_run(self.settings))
        step = {"scheduler": clock, "interval": "step", "frequency": 1}
        return {"optimizer": optimizer, "lr_scheduler": step}


def optimizer(settings: Sequence[str]) -> MegatronOptimizerModule:
    """AdamW of the run with its learning rate."""
    return MegatronOptimizerModule(
        config=optimizer_config(load_run(settings)), lr_scheduler=RunRateModule(settings)
    )
