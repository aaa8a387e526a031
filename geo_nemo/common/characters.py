"""Characters that no file in UTF-8 can hold."""

import re

_HALF = re.compile(r"[\ud800-\udfff]")


def half_character(text: str) -> str:
    """The first half of a pair that stands alone, as JSON's escapes leave it; empty for none."""
    found = None if text.isascii() else _HALF.search(text)
    return found[0] if found else ""
