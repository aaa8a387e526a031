"""Counts with their nouns, in sentences that people read."""


def plural(number: int, one: str, many: str = "") -> str:
    """`1 host`, `1,234 hosts`. many: where it is another than `one` with an s, as with a verb."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
