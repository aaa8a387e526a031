"""Peak memory of every stage, each in a process of its own, on a corpus and on a larger one."""

import shutil
from itertools import islice

from benchmarks.corpora.news import records, write_jsonl
from benchmarks.prep.ours.config import store_config
from benchmarks.prep.setting import Setting
from benchmarks.processes import run_module
from benchmarks.results import Row, compare

QUICK, FULL, LARGE = (50_000, 200_000), (200_000, 1_000_000), (1_000_000, 10_000_000)
FILE_DOCUMENTS = 50_000
# Short texts, so that what grows with the number of documents shows beside the buffers.
MEDIAN_WORDS, SPREAD = 40, 0.3


def measure(setting: Setting) -> list[Row]:
    small, big = QUICK if setting.quick else LARGE if setting.large else FULL
    peaks = {count: _peaks(setting, count) for count in (small, big)}
    rows = []
    for stage, found in peaks[big].items():
        peak, before = found["peak"], peaks[small][stage]["peak"]
        grown = max(0.0, peak - before) / (big - small)
        rows.append(
            compare(
                "peak_memory", peak / 1e6, "MB", f"itself on {small:,} documents", before / 1e6,
                "less", f"{stage}, {big:,} documents",
                f"{grown:.1f} bytes a document more; {found['start'] / 1e6:.0f} MB at its start",
            )
        )  # fmt: skip
    return rows


def _peaks(setting: Setting, count: int) -> dict[str, dict[str, int]]:
    """Resident bytes by stage: `peak`, and `start` before it began."""
    folder = setting.folder / f"memory-{count}"
    folder.mkdir()
    rows = records(count, seed=3, median_words=MEDIAN_WORDS, spread=SPREAD)
    files = []
    for number in range(0, count, FILE_DOCUMENTS):
        files.append(folder / f"news-{number:09d}.jsonl")
        write_jsonl(files[-1], islice(rows, FILE_DOCUMENTS))
    config = store_config(
        files, folder / "out", setting.vocabulary.path, near=True, task_bytes=64_000_000
    ).model_dump_json()
    found = run_module("benchmarks.prep.ours.stages", config).said["stages"]
    shutil.rmtree(folder)
    return found
