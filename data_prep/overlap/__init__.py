"""Evaluation texts that training must not see, found by word n-grams.

overlap_texts -> overlap_index -> overlap
"""

from data_prep.overlap.overlap_steps import OverlapStage
from data_prep.overlap.results import hit_keys, hits, overlap_stages, report_rows

__all__ = ["OverlapStage", "hit_keys", "hits", "overlap_stages", "report_rows"]
