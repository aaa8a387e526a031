"""When each stage runs: steps and samples of every stage, from the fractions of the config."""

from dataclasses import dataclass

from geo_nemo.config import MetadataPolicy, Run
from geo_nemo.config.stage_bounds import stage_borders


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage's place in the run. Steps count from 0; `last_step` is exclusive."""

    name: str
    index: int
    first_step: int
    last_step: int
    policy: MetadataPolicy

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return self.last_step - self.first_step


def plan_stages(run: Run) -> list[StagePlan]:
    """Stages in their order; borders are rounded so that each has a step and all add up."""
    borders = stage_borders(run)
    return [
        StagePlan(name, index, borders[index], borders[index + 1], run.stages[name].metadata)
        for index, name in enumerate(run.stages)
    ]


def stage_of(stages: list[StagePlan], step: int) -> StagePlan:
    """The stage that takes optimizer step `step`."""
    return next(stage for stage in stages if stage.first_step <= step < stage.last_step)
