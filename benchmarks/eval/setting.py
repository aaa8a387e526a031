"""What the measurements of one call share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """Options of a call. rounds: of each comparison. folder: for everything that is written."""

    folder: Path
    quick: bool
    rounds: int
