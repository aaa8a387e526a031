"""How much of a title the URL's path spells: told the path, a model is told the title."""

import re


def overlap(title: str, path: str) -> float:
    """Fraction of the title's words, of three letters or more, that stand in the path."""
    words = set(re.findall(r"\w{3,}", title.casefold()))
    spelled = set(re.findall(r"[^\W_]{3,}", path.casefold()))
    return len(words & spelled) / len(words) if words else 0.0
