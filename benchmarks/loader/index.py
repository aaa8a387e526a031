"""The packing index of a stage: CPU seconds and memory, on a store and on one ten times larger."""

import shutil

from benchmarks.loader.setting import Setting
from benchmarks.loader.store import make_store
from benchmarks.processes import Measured, run_module
from benchmarks.results import Row, compare

QUICK, FULL, LARGE = (20_000, 200_000), (100_000, 1_000_000), (1_000_000, 10_000_000)
MEDIAN_TOKENS = 60  # short, so that ten million documents fit on a disk
ROWS = 4000


def measure(setting: Setting) -> list[Row]:
    small, big = QUICK if setting.quick else LARGE if setting.large else FULL
    before, found = (_measured(setting, count).said for count in (small, big))
    peer = f"itself on {small:,} documents"
    case = f"{big:,} documents"
    drew = f"drew {found['documents']:,} documents into rows {found['fill']:.2%} filled"

    def memory(name: str, part: str, note: str) -> Row:
        grown = max(0, found[name] - before[name]) / (big - small)
        return compare(
            "peak_memory", found[name] / 1e6, "MB", peer, before[name] / 1e6, "less",
            f"{part}, {case}", f"{grown:.1f} bytes a document more; {note}",
        )  # fmt: skip

    mapped = "pages of mapped files are not counted"
    return [
        compare(
            "index_build", found["index_seconds"], "CPU s", peer, before["index_seconds"], "less",
            case, drew,
        ),
        memory("planned", "planning the index", f"{found['before'] / 1e6:.0f} MB before; {mapped}"),
        memory("read", "reading rows", mapped),
    ]  # fmt: skip


def _measured(setting: Setting, count: int) -> Measured:
    folder = setting.folder / f"index-{count}"
    store = make_store(folder, count, MEDIAN_TOKENS)
    # Rows are read by a process that finds the index, as every rank but one does.
    module = "benchmarks.loader.ours.sequences"
    built = run_module(module, str(store), str(folder / "run"), str(ROWS))
    read = run_module(module, str(store), str(folder / "run"), str(ROWS))
    shutil.rmtree(folder)
    return Measured(0.0, 0.0, built.said | {"read": read.said["read"]})
