"""The stages ingest and tokenise beside those of an older checkout, in turn."""

import sys
from pathlib import Path

from benchmarks.prep.ours import stage_seconds
from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, in_turn, run
from benchmarks.results import Row, compare

QUICK_BYTES, FULL_BYTES, LARGE_BYTES = 4_000_000, 80_000_000, 320_000_000
OLDER = "older"


def measure(setting: Setting) -> list[Row]:
    if setting.beside is None:
        return []
    older = setting.beside.resolve()
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES, LARGE_BYTES))

    def contender(name: str, *paths: Path):
        given = (stage_seconds.__file__, corpus.path, setting.folder / f"beside-{name}")
        return lambda number: run([sys.executable, *given], paths=paths)

    contenders = {OLDER: contender(OLDER, older), OURS: contender(OURS)}
    found = in_turn(contenders, setting.rounds)
    corpus.path.unlink()

    def seconds(name: str, stage: str) -> float:
        return min(each.said[stage] for each in found[name])

    return [
        compare(
            f"{stage}_beside", seconds(OURS, stage), "CPU s", str(older), seconds(OLDER, stage),
            "less", corpus.case, "without start; the best round of each",
        )
        for stage in stage_seconds.STAGES
    ]  # fmt: skip
