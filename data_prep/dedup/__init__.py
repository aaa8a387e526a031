"""Deduplication: exact (id and text), near (MinHash), across parts and across earlier runs.

fingerprint -> dedup_ids -> dedup_content -> dedup_near -> dedup
"""

from data_prep.dedup.clusters import Decisions, Dedup, decision_keys, decisions
from data_prep.dedup.dedup_steps import DedupContent, DedupIds, DedupNear
from data_prep.dedup.fingerprint import Fingerprint
from data_prep.dedup.shards import OUTCOMES
from data_prep.engine import Stage

__all__ = ["OUTCOMES", "Decisions", "decision_keys", "decisions", "dedup_stages"]


def dedup_stages() -> list[type[Stage]]:
    """The stages of this package, in order."""
    return [Fingerprint, DedupIds, DedupContent, DedupNear, Dedup]
