"""The typed, frozen description of a run.

Everything here is validated before a process group, a GPU or a job exists, and needs neither torch
nor Megatron. Names are the field's own (Megatron's, where it has one).
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from geo_nemo.config.average import Average
from geo_nemo.config.bad_steps import BadSteps
from geo_nemo.config.callbacks import Callbacks
from geo_nemo.config.checkpoint import Checkpoint
from geo_nemo.config.data import Data, Sampling, Select, check_related
from geo_nemo.config.groups import FieldName, Groups
from geo_nemo.config.health import Health
from geo_nemo.config.init import Init
from geo_nemo.config.lengths import with_fractions
from geo_nemo.config.logging import Logging
from geo_nemo.config.loss_weights import LossWeights, usual_weights
from geo_nemo.config.model import Model
from geo_nemo.config.notify import Notify
from geo_nemo.config.parallel import Parallel, StageParallel
from geo_nemo.config.precision import Precision
from geo_nemo.config.replay import Replay, check_replay
from geo_nemo.config.section import (
    FREE,
    NonNegative,
    Positive,
    Probability,
    Section,
    Seed,
    renamed,
)
from geo_nemo.config.sharing import Sharing
from geo_nemo.config.stage_rate import StageRate
from geo_nemo.config.template import LOCALIZATION, TEMPLATES, AnyTemplate, Template
from geo_nemo.config.validation import Validation

MAX_FIELDS = 64
# Settings of a policy that came after its hash stood in checkpoints: where one is not set, the hash
# is what it was without it.
_LATER = (
    "forms",
    "quality_bands",
    "template",
    "cut",
    "plain_dropout",
    "placebo",
    "loss_weights",
    "meta_tokens",
)
# The form of a field that is not named among `forms`; that of any other field is PLAIN.
USUAL_FORMS = {"date": "day", "quality": "fine"}
PLAIN = "plain"
BandName = Annotated[str, Field(pattern=r"^[^\s:]{1,32}$")]


class MetadataPolicy(Section):
    """What a stage tells the model about a document's origin, and how.

    fields: metadata lines, in this order, by the names of geo_nemo.metadata.fields or of columns of
        the user's own; empty means that no metadata is given.
    url_form: `host` (default: the full URL leaks the title), `path` (host and path) or `full`.
    position: `prepend` before the text; `append` after it, as an auxiliary target.
    mask_loss: keep metadata and the TITLE:/CONTENT: labels out of the loss.
    dropout: probability that a document is shown without any metadata.
    plain_dropout: probability that it is shown as plain text, without metadata and labels, whatever
        the template; beside `dropout`, so that the two add up to at most 1.
    field_dropout: probability that a single field is left out of a document's metadata.
    forms: of fields that can be written in several ways, as `date: month`; the usual one where a
        field is not named.
    quality_bands: of `quality: coarse`, each by its name and the least quality in it, rising from
        0.
    template: how metadata, title and body stand in the text: `localization` with TITLE: and
        CONTENT:, `meco` and `plain` without labels, or one of your own.
    cut: `whole`: ids are those of the whole text, as under all other templates. `parts`: those of
        `localization` as runs had them before there was a choice, whose parts are tokenised apart;
        what recipes and commands give is `whole`, unless the run in its folder began with `parts`.
    placebo: tell each document the metadata of another, by a permutation of all of them that is
        always the same: a run that metadata can teach nothing, as a baseline.
    loss_weights: of tokens in the loss, sum(w * nll) / sum(w), by kind: metadata, label, title,
        body, end; a kind that is not named has 1, or 0 where mask_loss keeps it out.
    meta_tokens: learnable tokens, rows of the vocabulary behind the tokenizer's, that stand in
        front of every document, out of the loss; plain text has none.
    """

    fields: Annotated[tuple[FieldName, ...], Field(max_length=MAX_FIELDS)] = (
        "url",
        "country",
        "continent",
    )
    url_form: Literal["host", "path", "full"] = "host"
    position: Literal["prepend", "append"] = "prepend"
    mask_loss: bool = True
    dropout: Probability = 0.0
    field_dropout: dict[FieldName, Probability] = Field(default_factory=dict)
    forms: dict[FieldName, str] = Field(default_factory=dict)
    quality_bands: dict[BandName, Annotated[int, Field(ge=0, le=100)]] = Field(default_factory=dict)
    template: AnyTemplate = LOCALIZATION
    cut: Literal["parts", "whole"] = "parts"
    plain_dropout: Probability = 0.0
    placebo: bool = False
    loss_weights: LossWeights = Field(default_factory=dict)
    meta_tokens: Annotated[int, Field(ge=0, le=1024)] = 0

    @model_validator(mode="before")
    @classmethod
    def _form_of_the_url(cls, values: Any) -> Any:
        """`forms.url` is the older `url_form`."""
        if not isinstance(values, dict) or "url" not in (forms := values.get("forms") or {}):
            return values
        if "url_form" in values and values["url_form"] != forms["url"]:
            raise ValueError("url_form and forms.url differ: give one of them")
        others = {name: form for name, form in forms.items() if name != "url"}
        return {**values, "url_form": forms["url"], "forms": others}

    @model_validator(mode="after")
    def _consistent(self):
        if len(set(self.fields)) != len(self.fields):
            raise ValueError(f"fields {list(self.fields)} names a field twice")
        for key in ("field_dropout", "forms"):
            unknown = set(getattr(self, key)) - set(self.fields)
            if unknown:
                raise ValueError(f"{key} names {sorted(unknown)}, which fields does not list")
        if self.dropout + self.plain_dropout > 1:
            raise ValueError(
                f"dropout {self.dropout:g} and plain_dropout {self.plain_dropout:g} add up to more "
                f"than 1"
            )
        if self.plain_dropout and len(self.fields) == MAX_FIELDS:
            raise ValueError(f"plain_dropout goes with at most {MAX_FIELDS - 1} fields")
        borders = list(self.quality_bands.values())
        if borders and (borders[0] != 0 or sorted(set(borders)) != borders):
            raise ValueError(f"quality_bands {self.quality_bands} must rise from 0")
        if self.placebo and not self.fields:
            raise ValueError("placebo permutes metadata, and fields is empty: give fields")
        if not any(self.weights.values()):
            raise ValueError("loss_weights are all 0, so nothing is trained: give body one")
        if self.meta_tokens and self.weights["metadata"]:
            raise ValueError(
                "meta_tokens stand out of the loss, and here metadata are in it: leave out "
                "meta_tokens, or mask_loss=false and loss_weights.metadata"
            )
        appends = self.position == "append" and len(self.fields) > 0
        if appends and not self.weights["metadata"]:
            raise ValueError(
                "position 'append' needs mask_loss=false or a weight, as "
                "loss_weights.metadata=0.5: it is a target, not context"
            )
        return self

    @property
    def text(self) -> Template:
        """The template, where it has a name too."""
        return TEMPLATES[self.template] if isinstance(self.template, str) else self.template

    def text_alike(self, other: "MetadataPolicy") -> bool:
        """Whether title and body stand in the same text here as there, whatever is above them."""
        return (self.text.title, self.text.body) == (other.text.title, other.text.body)

    @property
    def has_own_text(self) -> bool:
        """Whether the text is another than that of `localization`."""
        return self.template != LOCALIZATION

    @property
    def is_whole(self) -> bool:
        """Whether the ids of a document are those of its whole text."""
        return self.has_own_text or self.cut == "whole"

    @property
    def plain(self) -> "MetadataPolicy | None":
        """That of the documents which `plain_dropout` shows as plain text; None where it is 0."""
        return MetadataPolicy(fields=(), template="plain") if self.plain_dropout else None

    @property
    def weights(self) -> dict[str, float]:
        """The weight in the loss of each kind of token: metadata, label, title, body, end."""
        return usual_weights(self.mask_loss) | self.loss_weights

    @property
    def has_weights(self) -> bool:
        """Whether a weight is another than 0 or 1."""
        return not {0.0, 1.0}.issuperset(self.weights.values())

    def hash(self) -> str:
        """Sixteen hex digits that change whenever the policy does; kept in every artefact."""
        canonical = json.dumps(self.canonical(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def canonical(self) -> dict[str, Any]:
        """As plain JSON; a setting of `_LATER` only where it is set, and makes a difference."""
        values = self.model_dump(mode="json")
        values["forms"] = {
            name: form for name, form in self.forms.items() if form != USUAL_FORMS.get(name, PLAIN)
        }
        usual = usual_weights(self.mask_loss)
        values["loss_weights"] = {k: w for k, w in self.loss_weights.items() if w != usual[k]}
        if self.has_own_text:  # which is always whole
            values["cut"] = _default("cut")
        if isinstance(self.template, Template) and not self.template.control:
            del values["template"]["control"]
        return {k: v for k, v in values.items() if k not in _LATER or v != _default(k)}


def _default(name: str) -> Any:
    return MetadataPolicy.model_fields[name].get_default(call_default_factory=True)


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
    token_selection: str | None = None
    seq_length: Annotated[int, Field(ge=16)] | None = None
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
    output_dir: Annotated[str, FREE]
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
                f"validation.every_steps is {measured}: give it a divisor of "
                f"checkpoint.every_steps={saved}"
            )
        return self
