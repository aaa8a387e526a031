"""A stage's piece of the learning rate."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geo_nemo.config.section import Section


class StageRate(Section):
    """How the learning rate goes on in a stage, from where the one before left it.

    shape: `constant`; or down to `end` along a `cosine`, a `linear` line, or `sqrt`: 1 - sqrt(x),
        for the decay of warm-up-stable-decay (Hägele et al., arXiv 2405.18392).
    end: rate at the end of the stage; train.min_lr where it is not given.
    """

    shape: Literal["constant", "cosine", "linear", "sqrt"]
    end: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _no_end_of_a_constant(self):
        if self.shape == "constant" and self.end is not None:
            raise ValueError("shape constant has no end: it stays where it is")
        return self
