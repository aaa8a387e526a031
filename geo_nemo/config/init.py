"""The first weights of a run that does not draw them from its seed: those of another run."""

from typing import Literal

from pydantic import field_validator, model_validator

from geo_nemo.common.addresses import check_address, is_remote
from geo_nemo.config.average import Weights
from geo_nemo.config.section import Section


class Init(Section):
    """Weights alone, or the optimizer's moments too: learning rate, step and documents are the new
    run's own.

    checkpoint: a checkpoint of ours (its folder, or the run's `output_dir` for the newest whole
        one), of any layout, on disk or at `s3://bucket/folder`; or a folder of a Llama, Mistral,
        Qwen 2.5 or Qwen 3 in Hugging Face's format, config.json and safetensors.
    weights: of a checkpoint of ours, those of its last step or their average.
    optimizer: also take the moments of a checkpoint of ours, to train on as if it had gone on.
    same_tokenizer: the user vouches that a Hugging Face model was trained with the store's
        tokenizer, where its folder has no file of it to compare.
    new_rows: of a Hugging Face model whose tokenizer was given control tokens: `mean` begins each
        new token's row with the mean of all others; `refuse` makes it an error.
    """

    checkpoint: str
    weights: Weights = "trained"
    optimizer: bool = False
    same_tokenizer: bool = False
    new_rows: Literal["refuse", "mean"] = "refuse"

    @model_validator(mode="after")
    def _moments_of_these_weights(self):
        if self.optimizer and self.weights == "average":
            raise ValueError(
                "init.optimizer=true goes with init.weights=trained, whose moments they are"
            )
        return self

    @field_validator("checkpoint")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if not value:
            raise ValueError("give a folder or an address")
        return check_address("init.checkpoint", value) if is_remote(value) else value
