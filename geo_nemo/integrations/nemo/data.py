"""The sequences of a run as a NeMo 2 data module, which refuses a model with another loss rule."""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from megatron.core.num_microbatches_calculator import update_num_microbatches
from nemo.lightning import io
from nemo.lightning.data import WrappedDataLoader
from nemo.lightning.pytorch.plugins import MegatronDataSampler
from torch.utils.data import DataLoader

from geo_nemo.config import UserError
from geo_nemo.integrations.job import (
    load_job,
    refuse_changed,
    refuse_inexact,
    refuse_unserved,
)
from geo_nemo.integrations.run_sequences import RunSequences


class PackedDataModule(pl.LightningDataModule, io.IOMixin):
    """Sequences of every stage in turn; the switch to the cooldown is where the stage's sequences
    begin.

    settings: those of `geo-nemo train`. num_workers: processes that build sequences, of each rank.
    Raises UserError in `setup` where the model's loss is a mean of means, or reads no packed
    sequences.
    """

    def __init__(self, settings: Sequence[str], num_workers: int = 0):
        super().__init__()
        job = load_job(settings)
        refuse_unserved(job.run, "NeMo")
        train = job.run.train
        self.job = job
        self.tokenizer = job.tokenizer
        self.seq_length = job.run.data.seq_length
        self.micro_batch_size = train.micro_batch_size
        self.global_batch_size = train.global_batch_size
        self.num_workers = num_workers
        self.data_sampler = MegatronDataSampler(
            seq_len=self.seq_length,
            micro_batch_size=self.micro_batch_size,
            global_batch_size=self.global_batch_size,
        )

    def setup(self, stage: str = "") -> None:
        model = self.trainer.lightning_module
        ddp = getattr(self.trainer.strategy, "ddp_config", None)
        refuse_inexact(
            getattr(getattr(model, "config", None), "calculate_per_token_loss", None),
            getattr(ddp, "average_in_collective", False),
        )
        if not getattr(model, "reads_packed_sequences", False):
            raise UserError(
                f"{type(model).__name__} does not read packed sequences: use "
                "geo_nemo.integrations.nemo.ExactGPTModel, or put ExactSteps before llm.GPTModel "
                "in its bases"
            )
        self.sequences = RunSequences(self.job)

    def train_dataloader(self) -> DataLoader:
        return WrappedDataLoader(
            mode="train",
            dataset=self.sequences,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=RunSequences.collate_fn,
        )

    def state_dict(self) -> dict[str, Any]:
        """What a NeMo checkpoint keeps: samples consumed, and what decided the sequences."""
        steps = self.trainer.global_step - self.data_sampler.init_global_step
        return {
            "consumed_samples": self.data_sampler.compute_consumed_samples(steps),
            "fingerprint": self.job.fingerprint,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the samples consumed; UserError names what changed since."""
        refuse_changed(state.get("fingerprint", {}), self.job, "the NeMo checkpoint")
        consumed = state["consumed_samples"]
        self.data_sampler.init_consumed_samples = consumed
        self.data_sampler.prev_consumed_samples = consumed
        self.data_sampler.if_first_step = 1
        update_num_microbatches(consumed_samples=consumed, consistency_check=False)
