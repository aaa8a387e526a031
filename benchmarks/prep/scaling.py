"""JSONL to store on two worker processes beside one: seconds by the clock."""

import os
import shutil
from collections.abc import Callable

from benchmarks.prep.ours.config import store_config
from benchmarks.prep.setting import Setting
from benchmarks.processes import OURS, Measured, in_turn, run_module, wall
from benchmarks.results import Row, compare

QUICK_BYTES, FULL_BYTES, LARGE_BYTES = 12_000_000, 480_000_000, 1_920_000_000
FILES, WORKERS, PEER = 8, 2, "one worker"


def measure(setting: Setting) -> list[Row]:
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES, LARGE_BYTES))
    folder = setting.folder / "scaling"
    folder.mkdir()
    files = [folder / f"news-{number}.jsonl" for number in range(FILES)]
    with corpus.path.open("rb") as source:
        opened = [file.open("wb") for file in files]
        for number, line in enumerate(source):
            opened[number % FILES].write(line)
        for file in opened:
            file.close()
    corpus.path.unlink()
    vocabulary = setting.vocabulary

    def contender(workers: int) -> Callable[[int], Measured]:
        def measured(number: int) -> Measured:
            output = folder / f"on-{workers}"
            config = store_config(files, output, vocabulary.path, workers, task_bytes=1)
            found = run_module("benchmarks.prep.ours.to_store", config.model_dump_json())
            shutil.rmtree(output)
            return found

        return measured

    cores = len(os.sched_getaffinity(0))
    contenders = {OURS: contender(WORKERS)} if cores >= WORKERS else {}
    found = in_turn({"one": contender(1)} | contenders, setting.either(1, setting.rounds))
    shutil.rmtree(folder)
    one = wall(found["one"])
    if OURS not in found:
        reason = f"not measured: {cores} core here; the value is one worker's"
        return [compare("scaling", one, "s", PEER, None, "less", corpus.case, reason=reason)]
    case, note = f"{corpus.case}, {FILES} files", f"{WORKERS} workers; by the clock, with start-up"
    return [compare("scaling", wall(found[OURS]), "s", PEER, one, "less", case, note)]
