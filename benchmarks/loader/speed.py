"""Packed, prefixed rows beside Megatron-Core's GPTDataset on the same tokens: tokens/s a core."""

import shutil

from benchmarks.loader.ours.run import SEQ_LENGTH
from benchmarks.loader.setting import Setting
from benchmarks.loader.store import make_store, write_megatron
from benchmarks.processes import OURS, in_turn, run_module
from benchmarks.results import Row, compare

QUICK, FULL = (20_000, 3000), (200_000, 30_000)  # documents, rows
MEDIAN_TOKENS = 450
MODES = {"plain": "GPTDataset", "reset": "GPTDataset, positions and loss by document"}


def measure(setting: Setting) -> list[Row]:
    documents, rows = QUICK if setting.quick else FULL
    folder = setting.folder / "speed"
    store = make_store(folder, documents, MEDIAN_TOKENS)
    prefix = write_megatron(store, folder / "megatron")

    def ours(number: int):
        output = folder / f"ours-{number}"
        found = run_module("benchmarks.loader.ours.sequences", str(store), str(output), str(rows))
        shutil.rmtree(output)
        return found

    def peer(mode: str):
        given = (str(prefix), str(SEQ_LENGTH), str(rows), mode)
        return lambda number: run_module("benchmarks.loader.peers.gpt_dataset", *given)

    found = in_turn({OURS: ours} | {mode: peer(mode) for mode in MODES}, setting.rounds)
    shutil.rmtree(folder)
    speed = {name: _speed(runs) for name, runs in found.items()}
    fill = found[OURS][0].said["fill"]
    case = f"{documents:,} documents, sequence {SEQ_LENGTH}, {rows:,} rows"
    note = (
        f"best_fit, metadata before each fragment, {fill:.2%} filled; micro-batches of 4 as "
        "tensors, after as many others"
    )
    return [
        compare("tokens_per_second", speed[OURS], "tokens/s a core", name, speed[mode], "more",
                case, note)
        for mode, name in MODES.items()
    ]  # fmt: skip


def _speed(runs) -> float:
    return sorted(run.said["tokens"] / run.said["rows_seconds"] for run in runs)[len(runs) // 2]
