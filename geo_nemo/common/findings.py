"""One thing that `geo-nemo doctor` found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """ok: as it must be. note: works, but worth knowing. problem: something will not work.

    mend: what to do about it, one line; empty where there is nothing to do.
    """

    topic: str
    level: Level
    text: str
    mend: str = ""
