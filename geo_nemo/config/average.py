"""An average of the weights over the steps, kept beside them."""

from typing import Annotated, Literal

from pydantic import Field

from geo_nemo.config.section import NonNegative, Positive, Section

# Which weights of a run: those of its last step, or their average.
Weights = Literal["trained", "average"]


class Average(Section):
    """Settings of the average; without one it costs nothing.

    kind: `ema`: average = decay * average + (1 - decay) * weights, in fp32.
    decay: that of one update.
    every_steps: how often it takes the weights up.
    start: steps after which it begins, as the weights then are; until then it is the weights.
    """

    kind: Literal["none", "ema"] = "none"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    every_steps: Positive = 1
    start: NonNegative = 0

    @property
    def is_kept(self) -> bool:
        return self.kind != "none"
