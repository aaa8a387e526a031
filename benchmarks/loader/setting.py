"""What the measurements of one call share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """Options of a call. rounds: of each comparison. folder: for everything that is written.

    large: indices of 1 and 10 million documents, instead of 100 thousand and 1 million.
    beside: another checkout, whose rows and packing are measured too.
    """

    folder: Path
    quick: bool
    large: bool
    rounds: int
    beside: Path | None = None
