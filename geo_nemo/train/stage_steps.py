"""When each stage runs: steps and samples of every stage, from the fractions of the config."""

from dataclasses import dataclass

from geo_nemo.config import MetadataPolicy, Parallel, Run
from geo_nemo.config.stage_bounds import stage_borders
from geo_nemo.config.stage_sizes import stage_run


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage's place in the run. Steps count from 0; `last_step` is exclusive."""

    name: str
    index: int
    first_step: int
    last_step: int
    policy: MetadataPolicy
    global_batch_size: int
    micro_batch_size: int
    seq_length: int
    parallel: Parallel

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return self.last_step - self.first_step

    @property
    def step_tokens(self) -> int:
        """Positions of a step, padding included."""
        return self.global_batch_size * self.seq_length


def plan_stages(run: Run) -> list[StagePlan]:
    """Stages in their order; borders are rounded so that each has a step and all add up."""
    borders = stage_borders(run)
    plans = []
    for index, name in enumerate(run.stages):
        here = stage_run(run, name)
        sizes = here.train.global_batch_size, here.train.micro_batch_size, here.data.seq_length
        policy = run.stages[name].metadata
        first, last = borders[index : index + 2]
        plans.append(StagePlan(name, index, first, last, policy, *sizes, here.parallel))
    return plans


def changes_layout(stages: list[StagePlan], step: int) -> bool:
    """Whether the stage that takes `step` has another layout than the one that took the last."""
    if not 0 < step < stages[-1].last_step:
        return False
    return stage_of(stages, step).parallel != stage_of(stages, step - 1).parallel


def stage_of(stages: list[StagePlan], step: int) -> StagePlan:
    """The stage that takes optimizer step `step`."""
    return next(stage for stage in stages if stage.first_step <= step < stage.last_step)
