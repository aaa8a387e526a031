"""What generated answers came to, by counting."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

Record = Mapping[str, Any]


def is_right(record: Record) -> bool:
    """Whether the generated `text` holds the `answer`."""
    return record["answer"] in record["text"]


def rates(records: Sequence[Record]) -> dict[str, float]:
    """Fraction right by kind of question: local, shared."""
    kinds: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        kinds[record["kind"]].append(is_right(record))
    return {kind: sum(right) / len(right) for kind, right in sorted(kinds.items())}


def switched(records: Sequence[Record]) -> tuple[int, int]:
    """Pairs of a question's countries whose answers differ: how many are right for both, of all.

    A model that always gives one country's answer has none of them.
    """
    asked: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record["kind"] == "local":
            asked[record["prompt"]].append(record)
    pairs = [
        is_right(one) and is_right(other)
        for each in asked.values()
        for one, other in combinations(each, 2)
        if one["answer"] != other["answer"]
    ]
    return sum(pairs), len(pairs)
