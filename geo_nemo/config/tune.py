"""Config of `geo-nemo tune`; needs neither torch nor TRL."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from geo_nemo.common.errors import UserError
from geo_nemo.common.parse import parse_yaml
from geo_nemo.config.load import compose, validate
from geo_nemo.config.policy import MetadataPolicy
from geo_nemo.config.section import Filled, NonNegative, Positive, Probability, Section, Seed


class TuneFile(Section):
    """A JSONL file of instructions or conversations.

    weight: how often a record stands in an epoch; 0.5 takes half of them, drawn by the seed.
    """

    path: Filled
    weight: Annotated[float, Field(gt=0, le=100)] = 1.0


class Lora(Section):
    """An adapter of PEFT. targets: modules by their last name, or `all-linear`.

    merge: the output is a model that loads anywhere, with the adapter beside it; else the adapter.
    """

    rank: Annotated[int, Field(gt=0, le=1 << 16)] = 16
    alpha: Positive = 32
    dropout: Probability = 0.05
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    merge: bool = True

    @field_validator("targets")
    @classmethod
    def _names(cls, targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not targets:
            raise ValueError("it names no module: give all-linear, or some, as [q_proj,v_proj]")
        return targets


class Told(Section):
    """What a conversation is told of its origin; each stands under one of these, by the seed.

    none: fraction that is told nothing. country: fraction that is told its country alone.
    by: `record` tells the others the record's own fields; `random_country` tells them, and those
        of `country`, a country drawn at random, which teaches a model to ignore it: an ablation.
    """

    none: Probability = 0.1
    country: Probability = 0.1
    by: Literal["record", "random_country"] = "record"

    @model_validator(mode="after")
    def _fractions(self):
        if self.none + self.country > 1:
            raise ValueError(f"none {self.none:g} and country {self.country:g} are above 1")
        return self


class Tune(Section):
    """Tuning on instructions, by TRL's SFTTrainer.

    model: a folder in Hugging Face's format. data: one JSONL file, or several, with weights.
    metadata: what a model is told that was not trained by geo_nemo; else its own policy holds.
    loss: of answers alone, or of all tokens.
    seq_length: tokens of a sequence; None: the model's. packing: conversations share a sequence,
        and none of them sees another. too_long, untold_country: a conversation above
        seq_length, or of a country that the model was not told in training, is an error, or left
        out and counted.
    global_batch_size: sequences of a step, over all processes. epochs, or steps in their place.
    dtype: of the computation; weights that are trained are kept in fp32.
    shard: weights, gradients and moments are divided among the processes, each of a GPU (FSDP2).
    """

    model: Filled
    data: Annotated[tuple[TuneFile, ...], Field(min_length=1)]
    output: Filled
    method: Literal["lora", "full"] = "lora"
    lora: Lora = Lora()
    told: Told = Told()
    metadata: MetadataPolicy | None = None
    loss: Literal["answers", "all"] = "answers"
    seq_length: Positive | None = None
    packing: bool = True
    too_long: Literal["error", "drop"] = "error"
    untold_country: Literal["error", "drop"] = "error"
    global_batch_size: Positive = 16
    micro_batch_size: Positive = 1
    epochs: Annotated[float, Field(gt=0, le=1e6)] = 3.0
    steps: Positive | None = None
    lr: Annotated[float, Field(gt=0)] = 2e-4
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_steps: NonNegative = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_grad: Annotated[float, Field(gt=0)] = 1.0
    save_every_steps: Positive = 100
    keep_last: Positive = 2
    log_every_steps: Positive = 10
    seed: Seed = 1234
    device: Literal["auto", "cpu", "gpu"] = "auto"
    dtype: Literal["fp32", "bf16"] = "fp32"
    shard: bool = False

    @model_validator(mode="before")
    @classmethod
    def _files(cls, values: Any) -> Any:
        """`data=a.jsonl` and `data=[a.jsonl,b.jsonl]` are files of weight 1."""
        if not isinstance(values, dict) or "data" not in values:
            return values
        data = values["data"]
        files = [data] if isinstance(data, str | dict) else data
        if not isinstance(files, list | tuple):
            return values
        given = [{"path": file} if isinstance(file, str) else file for file in files]
        return {**values, "data": given}


def load_tune(name: str, model: str, overrides: Sequence[str]) -> Tune:
    """The config of a tuning; `data=...` may be a file, or a list of files in YAML.

    Hydra would take `data` and `model` for recipes of these groups: they are put in behind it.
    """
    values, others = {}, []
    for word in overrides:
        key, sign, value = word.partition("=")
        if key == "data" and sign:
            try:
                values["data"] = parse_yaml(value)
            except ValueError:
                raise UserError(
                    f"cannot read {word}: give data=FILE, or data='[{{path: FILE, weight: 2}}]'"
                ) from None
        else:
            others.append(word)
    found = {**compose(name, others), **values, "model": model}
    return validate("tune", Tune, found, typed=True)
