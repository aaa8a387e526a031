"""When a run that nobody watches must save, stop, or end itself."""

from typing import Annotated

from pydantic import Field, ValidationInfo, model_validator

from geo_nemo.config.kinds import WRITTEN
from geo_nemo.config.section import Section

Minutes = Annotated[float, Field(gt=0)]


class Health(Section):
    """Time limits of a run.

    hang_minutes: a process that goes so long without an end of a step, a save or a report of
        progress writes the stack of each of its threads into `<output_dir>/stacks/` and ends.
        Time in which it was stopped (`scontrol suspend`, Ctrl-Z) does not count.
    time_limit_minutes: the run saves and stops before it has taken so long. Without it the end of
        the SLURM job, where there is one, is the limit.
    margin_minutes: how long before the limit it stops; a save must fit in.
    heartbeat_seconds: how often `<output_dir>/heartbeat.json` is renewed.
    """

    hang_minutes: Minutes = 30
    time_limit_minutes: Minutes | None = None
    margin_minutes: Annotated[float, Field(ge=0)] = 10
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 15

    @model_validator(mode="after")
    def _time_for_steps(self, info: ValidationInfo):
        limit, margin = self.time_limit_minutes, self.margin_minutes
        if info.context == WRITTEN and limit is not None and margin >= limit:
            raise ValueError(
                f"margin_minutes {margin:g} leaves no time for steps before time_limit_minutes "
                f"{limit:g}: give less of the one or more of the other"
            )
        return self
