"""What became of a row of a part: one byte a row, an index into OUTCOMES."""

from geo_nemo.store.manifest import SPLITS

# In this order on disk: append only. The drops of deduplication have the names that they have in
# data_prep.dedup, where 0 is "kept".
OUTCOMES = (
    *SPLITS,
    "over_cap",
    "not_kept",
    "duplicate_id",
    "duplicate_content",
    "near_duplicate",
    "held_by_earlier_run",
    "evaluation_overlap",
)
TRAIN, VALIDATION, TEST = range(3)
OVER_CAP, NOT_KEPT = OUTCOMES.index("over_cap"), OUTCOMES.index("not_kept")
EVALUATION_OVERLAP = OUTCOMES.index("evaluation_overlap")
FIRST_DUPLICATE = OUTCOMES.index("duplicate_id")
DROPS = OUTCOMES[len(SPLITS) :]

MEANING = {
    "over_cap": "its country, its host, or its fraction of the test documents, was full",
    "not_kept": "balance.keep keeps a fraction of its country, and it is not in that",
    "duplicate_id": "an earlier document has the same id",
    "duplicate_content": "an earlier document has the same text",
    "near_duplicate": "an earlier document has nearly the same text",
    "held_by_earlier_run": "an earlier run (dedup.against) holds it",
    "evaluation_overlap": "it holds a text of an evaluation",
}
