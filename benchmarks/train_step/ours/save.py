"""One way to save, in a process of its own: what the training loop waits for it.

    python -m benchmarks.train_step.ours.save async|blocking FOLDER SHAPE SAVES

Trains on random rows, saves, and asks after each step, as the loop does, whether the save is done.
Prints JSON with seconds a save, each the median of the saves after the first: `waited` (in the
calls that save and that ask), `slower` (by which the steps beside it were longer than others);
and `first` (the first save's wait), `bytes` (of a checkpoint), `step` (a step with no save).
"""

import statistics
import sys
import time
from pathlib import Path

import orjson
import torch

from benchmarks.train_step.llama import Shape
from benchmarks.train_step.ours.model import CPU, batch, make_engine
from geo_nemo.config import Checkpoint, Parallel
from geo_nemo.runtime.distributed import process_groups

IDLE_STEPS = 4


def main() -> None:
    mode, folder, shape, saves = sys.argv[1:]
    with process_groups(Parallel(), CPU, seed=0):
        settings = Checkpoint(async_save=mode == "async", keep_last=1)
        found = measure(Shape.from_json(shape), Path(folder), settings, int(saves))
        print(orjson.dumps(found).decode())


def measure(shape: Shape, folder: Path, settings: Checkpoint, saves: int) -> dict[str, float]:
    """The figures above; the checkpoints go to `folder`."""
    from geo_nemo.train.checkpoint.load import Position
    from geo_nemo.train.checkpoint.manager import Checkpoints

    engine = make_engine(shape)
    checkpoints = Checkpoints(engine, folder, settings)
    done = 0

    def step() -> float:
        nonlocal done
        begin = time.perf_counter()
        engine.train_step([batch(shape, done)], done)
        done += 1
        return time.perf_counter() - begin

    step()
    waited, beside, idle = [], [], []
    for number in range(saves + 1):
        begin = time.perf_counter()
        checkpoints.save(Position(number + 1, {}, {}))
        total = time.perf_counter() - begin
        steps = []
        while checkpoints.is_saving:
            steps.append(step())
            begin = time.perf_counter()
            flags = torch.tensor(checkpoints.flags())
            torch.distributed.all_reduce(flags)
            checkpoints.advance(*flags.tolist())
            total += time.perf_counter() - begin
        waited.append(total)
        beside.append(steps)
        idle += [step() for _ in range(IDLE_STEPS)]
    usual = statistics.median(idle)
    slower = [sum(steps) - len(steps) * usual for steps in beside[1:]]
    size = sum(path.stat().st_size for path in checkpoints.newest().iterdir())
    return {
        "waited": statistics.median(waited[1:]),
        "slower": statistics.median(slower),
        "first": waited[0],
        "bytes": float(size),
        "step": usual,
    }


if __name__ == "__main__":
    main()
