"""Batch sizes, sequence length and layout of each stage, and what a run has taken up to a step."""

from geo_nemo.config.parallel import StageParallel
from geo_nemo.config.schema import Run
from geo_nemo.config.stage_bounds import stage_borders

_SIZES = ("seq_length", "global_batch_size", "micro_batch_size")


def stage_run(run: Run, stage: str) -> Run:
    """The run with a stage's own sizes and layout; itself where the stage has none."""
    if (layout := run.stages[stage].parallel) is not None:
        run = run.model_copy(update={"parallel": layout.within(run.parallel)})
    given = {name: getattr(run.stages[stage], name) for name in _SIZES}
    given = {name: size for name, size in given.items() if size is not None}
    if not given:
        return run
    length = {name: size for name, size in given.items() if name == "seq_length"}
    batch = {name: size for name, size in given.items() if name != "seq_length"}
    data, train = run.data.model_copy(update=length), run.train.model_copy(update=batch)
    return run.model_copy(update={"data": data, "train": train})


def have_own_sizes(run: Run) -> bool:
    """Whether a stage takes other sequences or batches than the run's."""
    return any(getattr(stage, name) is not None for stage in run.stages.values() for name in _SIZES)


def step_tokens(run: Run, stage: str) -> int:
    """Positions of a step of a stage, padding included."""
    here = stage_run(run, stage)
    return here.train.global_batch_size * here.data.seq_length


def taken_tokens(run: Run, step: int) -> int:
    """Positions of the first `step` steps, padding included."""
    return sum(steps * step_tokens(run, name) for name, steps in _taken(run, step))


def taken_samples(run: Run, step: int) -> int:
    """Sequences of the first `step` steps."""
    return sum(
        steps * stage_run(run, name).train.global_batch_size for name, steps in _taken(run, step)
    )


def document_fractions(run: Run) -> list[float]:
    """Of the documents that stages share, how much each gets: as its part of the tokens.

    Where no stage has sizes of its own, that is its part of the steps, to the bit.
    """
    if not have_own_sizes(run):
        return [stage.fraction for stage in run.stages.values()]
    tokens = [steps * step_tokens(run, name) for name, steps in _taken(run, run.train.steps)]
    return [each / sum(tokens) for each in tokens]


def laid_out_for(run: Run, stage: str) -> Run:
    """The run in the layout of one stage; what the layouts of the others are stays told."""
    if all(each.parallel is None for each in run.stages.values()):
        return run
    whole = {name: stage_run(run, name).parallel for name in run.stages}
    keys = StageParallel.model_fields
    stages = {
        name: each.model_copy(
            update={"parallel": StageParallel(**{k: getattr(whole[name], k) for k in keys})}
        )
        for name, each in run.stages.items()
    }
    return run.model_copy(update={"stages": stages, "parallel": whole[stage]})


def _taken(run: Run, step: int) -> list[tuple[str, int]]:
    borders = stage_borders(run)
    return [
        (name, min(max(step - borders[place], 0), borders[place + 1] - borders[place]))
        for place, name in enumerate(run.stages)
    ]
