"""The last word on each row: splits, balance and drops, and what overlaps with evaluations."""

import numpy as np

from data_prep import overlap
from data_prep.config import Prep
from data_prep.ingest import PartRef
from data_prep.splits.draws import SAMPLE_DRAW, uniform_bits
from data_prep.splits.outcomes import EVALUATION_OVERLAP, TRAIN
from data_prep.splits.split_steps import Assign, outcomes, part_arrays


def final_outcomes(config: Prep, part: PartRef) -> np.ndarray:
    """uint8 [n]: indices into OUTCOMES of the rows of `part`, for the stages after overlap."""
    found = outcomes(config, part)
    found[(found == TRAIN) & overlap.hits(config, part)] = EVALUATION_OVERLAP
    return found


def final_keys(config: Prep) -> list[str]:
    """A key for each part, in order, that changes with its final outcomes."""
    assigned = (task.key for task in Assign(config).tasks())
    return [f"{key} {hit}" for key, hit in zip(assigned, overlap.hit_keys(config), strict=True)]


def content_draws(config: Prep, part: PartRef, rows: np.ndarray) -> np.ndarray:
    """uint64 [m]: uniform draws of `rows` [m] by content, to take a fair sample of them."""
    content = part_arrays(config, part.id)["content"][rows]
    return uniform_bits(content, config.seed, SAMPLE_DRAW)
