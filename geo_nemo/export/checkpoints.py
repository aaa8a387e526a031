"""The whole checkpoints of a run, for those who load no weights; needs no torch."""

from pathlib import Path

from geo_nemo.common.log import logger
from geo_nemo.train.checkpoint.files import checkpoints, newest_whole, shape_problem, step_of

LOG = logger(__name__)

__all__ = ["newest_whole", "of_step", "whole_steps"]


def whole_steps(directory: Path) -> list[int]:
    """Steps of the checkpoints whose files are all there, by names and sizes; in order.

    One that is not whole is told in a line.
    """
    found = []
    for path in checkpoints(directory):
        if _is_whole(path):
            found.append(step_of(path))
        else:
            problem = shape_problem(path) or "its name has no step"
            LOG.warning("the checkpoint %s is not whole: %s; it is left out", path, problem)
    return sorted(found)


def of_step(directory: Path, step: int) -> Path | None:
    """The checkpoint of a step, where its files are all there."""
    found = [path for path in checkpoints(directory) if step_of(path) == step]
    return next(filter(_is_whole, found), None)


def _is_whole(path: Path) -> bool:
    return step_of(path) >= 0 and not shape_problem(path)
