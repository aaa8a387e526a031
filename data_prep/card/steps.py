"""In which step of the preparation a reason drops, and what it means in words."""

from collections import Counter
from collections.abc import Mapping

from data_prep.card.data import Step
from data_prep.clean.rules import meaning as meaning_of_rule
from data_prep.quarantine import REASONS
from data_prep.splits.outcomes import MEANING, OUTCOMES

# In the order of the pipeline. What no other step names is a check of the record.
STEPS = {
    "read": "Reading",
    "origin": "Origin",
    "language": "Language",
    "clean": "Cleaning",
    "exact": "Exact copies",
    "near": "Near-duplicates",
    "balance": "Balance",
    "overlap": "Evaluation overlap",
}
_OF_OUTCOME = {
    "over_cap": "balance",
    "not_kept": "balance",
    "duplicate_id": "exact",
    "duplicate_content": "exact",
    "held_by_earlier_run": "exact",
    "near_duplicate": "near",
    "evaluation_overlap": "overlap",
}
_ORIGIN = {
    "missing_url", "invalid_url", "refused_url_scheme", "unknown_country", "unknown_continent",
    "host_blocked", "host_not_allowed", "opted_out", "no_country", "country_disagrees",
    "continent_disagrees", "country_not_listed",
}  # fmt: skip
_CLEAN = {"too_short", "too_long", "now_mask"}


def step_of(reason: str) -> str:
    """The key of STEPS."""
    if reason in OUTCOMES:
        return _OF_OUTCOME[reason]
    if reason in _ORIGIN:
        return "origin"
    if "." in reason or reason in _CLEAN:
        return "clean"
    if reason.startswith("language"):
        return "language"
    return "read"


def meaning(reason: str) -> str:
    """A reason in words; empty where it has none but its name."""
    return MEANING.get(reason) or REASONS.get(reason) or meaning_of_rule(reason)


def steps(dropped: Mapping[str, int]) -> tuple[Step, ...]:
    """Every step, with its fraction of `dropped`: records by reason, the most frequent first."""
    by_step: dict[str, Counter[str]] = {key: Counter() for key in STEPS}
    for reason, count in dropped.items():
        by_step[step_of(reason)][reason] += count
    return tuple(
        Step(name=name, dropped=dict(sorted(by_step[key].items(), key=lambda e: (-e[1], e[0]))))
        for key, name in STEPS.items()
    )
