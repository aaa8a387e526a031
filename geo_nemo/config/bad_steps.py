"""What a run does with a step that must not be taken."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geo_nemo.config.section import Positive, Section


class BadSteps(Section):
    """A step is bad when its loss or gradient norm is not finite, or its loss a spike.

    policy: `raise` ends the run, after one step more at most and with nothing of it saved; `skip`
        leaves the weights as they are and goes on with the next batch; `rewind` goes back to the
        newest checkpoint, and leaves out the bad batch when it comes again, with those of
        `rewind_steps` before it that come again, too. Only `raise` without `spike_sigma` lets the
        GPU run ahead.
    spike_sigma: a loss so many standard deviations above the mean of the last `window` steps of
        its stage is a spike; without it only what is not finite is bad.
    limit: bad steps that a run may leave out, over all its starts; the next one ends it whatever
        the policy. A run that has ended so goes on with a higher limit.
    """

    policy: Literal["raise", "skip", "rewind"] = "raise"
    spike_sigma: Annotated[float, Field(gt=0)] | None = None
    window: Annotated[int, Field(ge=8)] = 128
    rewind_steps: Annotated[int, Field(ge=0)] = 0
    limit: Positive = 10

    @model_validator(mode="after")
    def _rewind_steps_of_a_rewind(self):
        if self.rewind_steps and self.policy != "rewind":
            raise ValueError(f"rewind_steps is for policy=rewind, not {self.policy}")
        return self
