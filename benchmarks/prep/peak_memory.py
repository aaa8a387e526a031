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
MODULE = "benchmarks.prep.ours.stage"


def measure(setting: Setting) -> list[Row]:
    small, big = QUICK if setting.quick else LARGE if setting.large else FULL
    # Both with the same vocabulary.
    peaks = {count: _peaks(setting, count) for count in (small, big)}
    rows = []
    for stage, (peak, start) in peaks[big].items():
        before = peaks[small][stage][0]
        grown = max(0.0, peak - before) / (big - small)
        rows.append(
            compare(
                "peak_memory", peak / 1e6, "MB", f"itself on {small:,} documents", before / 1e6,
                "less", f"{stage}, {big:,} documents",
                f"{grown:.1f} bytes a document more; {start / 1e6:.0f} MB at its start",
            )
        )  # fmt: skip
    return rows


def _peaks(setting: Setting, count: int) -> dict[str, tuple[int, int]]:
    """Peak resident bytes of each stage, and those before it began its tasks."""
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
    found = {}
    for stage in run_module(MODULE, "names", config).said["names"]:
        said = run_module(MODULE, stage, config).said
        found[stage] = (said["peak"], said["start"])
    shutil.rmtree(folder)
    return found
