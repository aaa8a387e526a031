"""Which split a document is in, and which documents balance takes out of training.

`outcomes` is one byte a row after the stage `assign`, an index into OUTCOMES; `data_prep.final` has
it after `overlap`, too.
"""

from data_prep.splits.outcomes import DROPS, OUTCOMES
from data_prep.splits.split_steps import Assign, Split, Units, by_country, outcomes, split_stages

__all__ = [
    "DROPS", "OUTCOMES", "Assign", "Split", "Units", "by_country", "outcomes", "split_stages",
]  # fmt: skip
