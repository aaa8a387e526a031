"""JSONL to store on two worker processes beside one: seconds by the clock."""

import os
import shutil

from benchmarks.prep.ours.config import store_config
from benchmarks.prep.setting import Setting
from benchmarks.processes import Measured, in_turn, run_module, wall
from benchmarks.results import Row, compare, missing

QUICK_BYTES, FULL_BYTES = 12_000_000, 240_000_000
FILES, WORKERS = 8, 2


def measure(setting: Setting) -> list[Row]:
    corpus = setting.corpus(setting.either(QUICK_BYTES, FULL_BYTES))
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

    def contender(workers: int):
        def measured(number: int) -> Measured:
            output = folder / f"on-{workers}"
            config = store_config(files, output, vocabulary.path, workers, task_bytes=1)
            found = run_module("benchmarks.prep.ours.to_store", config.model_dump_json())
            shutil.rmtree(output)
            return found

        return measured

    case, unit, peer = f"{corpus.case}, {FILES} files", "s", "one worker"
    if len(os.sched_getaffinity(0)) < WORKERS:
        alone = wall(in_turn({"one": contender(1)}, 1)["one"])
        rows = [missing("scaling", alone, unit, peer, case, "not measured: one core here")]
    else:
        found = in_turn({"two": contender(WORKERS), "one": contender(1)}, setting.rounds)
        note = f"{WORKERS} workers; by the clock, with start-up"
        two, one = wall(found["two"]), wall(found["one"])
        rows = [compare("scaling", two, unit, peer, one, "less", case, note)]
    shutil.rmtree(folder)
    return rows
