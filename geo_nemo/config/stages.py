"""Where the stages of a run begin and end, from their shares."""

from geo_nemo.config.schema import Run


def stage_borders(run: Run) -> list[int]:
    """Steps at which stages begin, and the run's last; rounded so that each stage has a step."""
    names = list(run.stages)
    borders = [0]
    share = 0.0
    for position, name in enumerate(names):
        share += run.stages[name].share
        left = len(names) - position - 1
        border = round(share * run.train.steps)
        borders.append(min(max(border, borders[-1] + 1), run.train.steps - left))
    borders[-1] = run.train.steps
    return borders


def stage_samples(run: Run, stage: str) -> int:
    """Rows that a stage takes."""
    place = list(run.stages).index(stage)
    first, last = stage_borders(run)[place : place + 2]
    return (last - first) * run.train.global_batch_size
