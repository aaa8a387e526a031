"""Validation while the run goes on: the losses with, without and with wrong metadata."""

from typing import Literal

from pydantic import model_validator

from geo_nemo.config.average import Weights
from geo_nemo.config.section import Positive, Section


class Validation(Section):
    """Settings of the validation.

    every_steps: how often, and at the end; None: never.
    documents: how many at most, drawn from `split`.
    weights: which are measured: the `trained` ones, or their `average`, where the run keeps one.
    """

    every_steps: Positive | None = None
    documents: Positive = 512
    split: Literal["validation", "test"] = "validation"
    weights: Weights = "trained"

    @model_validator(mode="after")
    def _enough(self):
        if self.documents < 2:
            raise ValueError("documents must be at least 2: wrong metadata is another document's")
        return self
