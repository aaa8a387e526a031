"""The typed, frozen description of a run.

Everything here is validated before a process group, a GPU or a job exists, and needs neither torch
nor Megatron. Names are the field's own (Megatron's, where it has one).
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from geo_nemo.config.average import Average
from geo_nemo.config.bad_steps import BadSteps
from geo_nemo.config.callbacks import Callbacks
from geo_nemo.config.checkpoint import Checkpoint
from geo_nemo.config.data import Data, Sampling, Select, check_related
from geo_nemo.config.groups import Groups
from geo_nemo.config.health import Health
from geo_nemo.config.init import Init
from geo_nemo.config.lengths import with_fractions
from geo_nemo.config.logging import Logging
from geo_nemo.config.model import Model
from geo_nemo.config.notify import Notify
from geo_nemo.config.parallel import Parallel, StageParallel
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.config.precision import Precision
from geo_nemo.config.replay import Replay, check_replay
from geo_nemo.config.section import (
    FREE,
    Filled,
    NonNegative,
    OnDisk,
    Positive,
    Section,
    Seed,
    SequenceLength,
    renamed,
)
from geo_nemo.config.sharing import Sharing
from geo_nemo.config.stage_rate import StageRate
from geo_nemo.config.validation import Validation


class Stage(Section):
    """One part of the run: its length, its metadata policy, its documents and its learning rate.

    Weights, optimizer state and LR clock always carry over; the documents are its own: no document
    of another stage is drawn, but for `replay`. A document that several stages select goes to one
    of them, by fraction.

    fraction: of the run's steps. steps, tokens: instead of it, for every stage; they decide
        train.steps, and the fraction follows.
    lr: its piece of the learning rate, for every stage or for none: then one cosine is over all.
    select: which documents of the store it may draw. sampling: how often those of each country,
        continent or source.
    replay: a share of the sequences that holds what earlier stages have read.
    token_selection: folder of geo-nemo select-tokens; other tokens of the texts are read and not
        trained.
    seq_length, global_batch_size, micro_batch_size: its own, in the place of those of `data` and
        `train`; no sequence is longer than data.seq_length. parallel: its own part of the layout.
    """

    fraction: Annotated[float, Field(gt=0, le=1)]
    steps: Positive | None = None
    tokens: Positive | None = None
    lr: StageRate | None = None
    metadata: MetadataPolicy
    select: Select = Select()
    sampling: Sampling = Sampling()
    replay: Replay | None = None
    token_selection: Filled | None = None
    seq_length: SequenceLength | None = None
    global_batch_size: Positive | None = None
    micro_batch_size: Positive | None = None
    parallel: StageParallel | None = None

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, values: Any) -> Any:
        return renamed(values, share="fraction")


class Train(Section):
    """Steps, batch sizes, AdamW, and its learning rate: warm-up, then a cosine or stages' own."""

    steps: Positive
    global_batch_size: Positive
    micro_batch_size: Annotated[Positive, FREE] = 1
    lr: Annotated[float, Field(gt=0)] = 3e-3
    min_lr: Annotated[float, Field(ge=0)] = 3e-4
    warmup_steps: NonNegative = 500
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    adam_eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.033
    clip_grad: Annotated[float, Field(ge=0)] = 0.1
    z_loss: Annotated[float, Field(ge=0)] = 0.0


class Run(Section):
    """A whole training run.

    groups: fields by which losses and token accounting are told apart: one, or two and their table.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), FREE]
    output_dir: Annotated[OnDisk, FREE]
    seed: Seed = 1234
    device: Annotated[Literal["auto", "cpu", "gpu"], FREE] = "auto"
    deterministic: Annotated[bool, FREE] = False
    model: Model
    data: Data
    stages: dict[str, Stage]
    groups: Annotated[Groups, FREE] = ("country",)
    train: Train
    init: Init | None = None
    parallel: Annotated[Parallel, FREE] = Parallel()
    precision: Precision = Precision()
    checkpoint: Annotated[Checkpoint, FREE] = Checkpoint()
    logging: Annotated[Logging, FREE] = Logging()
    health: Annotated[Health, FREE] = Health()
    notify: Annotated[Notify, FREE] = Notify()
    sharing: Annotated[Sharing, FREE] = Sharing()
    bad_steps: Annotated[BadSteps, FREE] = BadSteps()
    average: Average = Average()
    callbacks: Annotated[Callbacks, FREE] = Callbacks()
    validation: Annotated[Validation, FREE] = Validation()

    @property
    def meta_tokens(self) -> int:
        """Rows of the vocabulary that meta-tokens take: the most that a stage has."""
        return max((stage.metadata.meta_tokens for stage in self.stages.values()), default=0)

    @property
    def weighs_tokens(self) -> bool:
        """Whether a token of some stage may weigh another than 0 or 1 in the loss."""
        return any(stage.metadata.has_weights for stage in self.stages.values())

    @model_validator(mode="before")
    @classmethod
    def _lengths_of_stages(cls, values: Any) -> Any:
        return with_fractions(values)

    @model_validator(mode="after")
    def _stages_and_layout(self):
        if not self.stages:
            raise ValueError("stages is empty: name at least one stage")
        total = sum(stage.fraction for stage in self.stages.values())
        if abs(total - 1) > 1e-9:
            what = "stages overlap: their fractions" if total > 1 else "the fractions of stages"
            raise ValueError(f"{what} add up to {total:g}, not 1")
        if self.train.steps < len(self.stages):
            raise ValueError(
                f"train.steps {self.train.steps} is fewer than the {len(self.stages)} stages"
            )
        if self.train.warmup_steps >= self.train.steps:
            raise ValueError(
                f"train.warmup_steps {self.train.warmup_steps} must be below "
                f"train.steps {self.train.steps}"
            )
        for name, stage in self.stages.items():
            check_related(name, stage.sampling, self.data)
            if (stage.seq_length or 0) > self.data.seq_length:
                raise ValueError(
                    f"stages.{name}.seq_length {stage.seq_length} is above data.seq_length "
                    f"{self.data.seq_length}: give data.seq_length={stage.seq_length}, and the "
                    f"shorter stages a seq_length of their own"
                )
        check_replay({name: stage.replay for name, stage in self.stages.items()})
        if len({stage.lr is None for stage in self.stages.values()}) > 1:
            raise ValueError("stages: give every stage an lr, or none")
        if self.train.min_lr > self.train.lr:
            raise ValueError(f"train.min_lr {self.train.min_lr:g} is above lr {self.train.lr:g}")
        return self

    @model_validator(mode="after")
    def _average_begins(self):
        if self.average.is_kept and self.average.start >= self.train.steps:
            raise ValueError(
                f"average.start {self.average.start} must be below train.steps {self.train.steps}"
            )
        if self.validation.weights == "average" and not self.average.is_kept:
            raise ValueError("validation.weights=average needs an average: give average.kind=ema")
        return self

    @model_validator(mode="after")
    def _profile_within_the_run(self):
        profile = self.logging.profile
        if profile is not None and profile.start_step >= self.train.steps:
            raise ValueError(
                f"logging.profile.start_step {profile.start_step} must be below "
                f"train.steps {self.train.steps}"
            )
        return self

    @model_validator(mode="after")
    def _the_best_are_known(self):
        if not self.checkpoint.keep_best:
            return self
        measured, saved = self.validation.every_steps, self.checkpoint.every_steps
        if measured is None or saved % measured:
            raise ValueError(
                f"checkpoint.keep_best needs a validation at each checkpoint, and "
                f"validation.every_steps is {measured or 'not given'}: give it a divisor of "
                f"checkpoint.every_steps={saved}"
            )
        return self
