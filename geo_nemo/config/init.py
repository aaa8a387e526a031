"""The first weights of a run that does not draw them from its seed: those of another run."""

from pydantic import field_validator

from geo_nemo.config.average import Weights
from geo_nemo.config.remote import check_address, is_remote
from geo_nemo.config.section import Section


class Init(Section):
    """Weights alone: optimizer, learning rate, step and documents are the new run's own.

    checkpoint: a checkpoint of ours (its folder, or the run's `output_dir` for the newest whole
        one), of any layout, on disk or at `s3://bucket/folder`; or a folder of a Llama model in
        Hugging Face's format, config.json and safetensors.
    weights: of a checkpoint of ours, those of its last step or their average.
    same_tokenizer: the user vouches that a Hugging Face model was trained with the store's
        tokenizer, where its folder has no file of it to compare.
    """

    checkpoint: str
    weights: Weights = "trained"
    same_tokenizer: bool = False

    @field_validator("checkpoint")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if not value:
            raise ValueError("give a folder or an address")
        return check_address("init.checkpoint", value) if is_remote(value) else value
