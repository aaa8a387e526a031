"""Which split a document is in, and which documents balance takes out of training.

`outcomes` is one byte a row after the stage `assign`, `final_outcomes` after `overlap` too; both
index OUTCOMES.
"""

from data_prep.splits.final import content_draws, final_keys, final_outcomes
from data_prep.splits.outcomes import DROPS, OUTCOMES
from data_prep.splits.stages import Assign, Split, Units, by_country, outcomes, split_stages

__all__ = [
    "DROPS", "OUTCOMES", "Assign", "Split", "Units", "by_country", "content_draws", "final_keys",
    "final_outcomes", "outcomes", "split_stages",
]  # fmt: skip
